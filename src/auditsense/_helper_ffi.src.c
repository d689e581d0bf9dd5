#include "_helper.h"
