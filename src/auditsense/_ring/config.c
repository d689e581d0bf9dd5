#include "config.h"

void as_config_default(as_config *config) {
    *config = (as_config){
        .datagram_slots = 256,
        .datagram_bytes = 16384,
        .event_slots = 4096,
        .small_texts = 8192,
        .large_texts = 64,
        .event_timeout_ms = 2000,
        .key_slots = 16384,
        .window_slack = 22,
        .hit_bytes = 1 << 20,
        .end = AS_END_EOE,
        .process_slots = 16384,
    };
}

static bool within(uint32_t value, uint32_t min, uint32_t max) {
    return value >= min && value <= max;
}

bool as_config_valid(const as_config *config) {
    return within(config->datagram_slots, 1, 1024) && within(config->datagram_bytes, 1024, 65536) &&
           within(config->event_slots, 16, 1048576) && within(config->small_texts, 16, 1048576) &&
           within(config->large_texts, 4, 4096) && within(config->event_timeout_ms, 1, 60000) &&
           within(config->key_slots, 16, 4194304) && within(config->window_slack, 0, 1024) &&
           within(config->hit_bytes, 8 * config->datagram_bytes + 262144, UINT32_C(1) << 30) &&
           within(config->end, AS_END_EOE, AS_END_PATHS) && within(config->process_slots, 16, 1048576) &&
           within(config->asks, 0, 1);
}
