#pragma once

#include "kernels/cpu/isa.h"

namespace tessera::cpu {

// What this machine can do at best on `num_threads` cores, measured in about a second each: the yardstick of every
// kernel's benchmark. Other load on the machine lowers them.

// Bytes per second read from memory, streaming through much more than the caches hold.
double MeasureReadBandwidth(int num_threads);

// Floating-point operations per second (a multiply-add is two) of BF16 dot products on registers and the L1 cache, in
// the form that the kernels of `isa` use.
double MeasureBf16Peak(int num_threads, Isa isa = DetectIsa());

}  // namespace tessera::cpu
