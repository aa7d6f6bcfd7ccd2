// Coverage of C for libFuzzer: compilers without its counters (gcc) call this at every edge, and libFuzzer takes note of
// whatever stands in its section of extra counters.
#include <stdint.h>

#define COUNTERS 65536

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];

__attribute__((no_sanitize_coverage)) void __sanitizer_cov_trace_pc(void)
{
	uintptr_t from = (uintptr_t)__builtin_return_address(0);

	counters[(from ^ from >> 16) % COUNTERS]++;
}
