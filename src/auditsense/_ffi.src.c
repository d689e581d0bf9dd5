#include "_ring.h"
