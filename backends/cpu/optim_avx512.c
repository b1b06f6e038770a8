/* Loss, optimisers and dropout, with AVX-512. */
#if defined __AVX512F__
#include "backends/cpu/optim.h"
#include "backends/cpu/tuned.h"

const Kernel avx512_cross_entropy = {"avx512", loss_units, cross_entropy_run, NULL};
const Kernel avx512_cross_entropy_dx = {"avx512", row_units, cross_entropy_dx_run, NULL};
const Kernel avx512_sum_squares = {"avx512", loss_units, sum_squares_run, NULL};
const Kernel avx512_adamw = {"avx512", row_units, adamw_run, NULL};
const Kernel avx512_sgd = {"avx512", row_units, sgd_run, NULL};
const Kernel avx512_muon_momentum = {"avx512", row_units, muon_momentum_run, NULL};
const Kernel avx512_muon_unit = {"avx512", row_units, muon_unit_run, NULL};
const Kernel avx512_mix = {"avx512", row_units, mix_run, NULL};
const Kernel avx512_muon = {"avx512", row_units, muon_run, NULL};
const Kernel avx512_dropout = {"avx512", row_units, dropout_run, NULL};
#endif
