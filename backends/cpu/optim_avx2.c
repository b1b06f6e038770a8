/* Loss, optimisers and dropout, with AVX2 and FMA. */
#if defined __AVX2__
#include "backends/cpu/optim.h"
#include "backends/cpu/tuned.h"

const Kernel avx2_cross_entropy = {"avx2", loss_units, cross_entropy_run, NULL};
const Kernel avx2_cross_entropy_dx = {"avx2", row_units, cross_entropy_dx_run, NULL};
const Kernel avx2_sum_squares = {"avx2", loss_units, sum_squares_run, NULL};
const Kernel avx2_adamw = {"avx2", row_units, adamw_run, NULL};
const Kernel avx2_sgd = {"avx2", row_units, sgd_run, NULL};
const Kernel avx2_muon_momentum = {"avx2", row_units, muon_momentum_run, NULL};
const Kernel avx2_muon_unit = {"avx2", row_units, muon_unit_run, NULL};
const Kernel avx2_mix = {"avx2", row_units, mix_run, NULL};
const Kernel avx2_muon = {"avx2", row_units, muon_run, NULL};
const Kernel avx2_dropout = {"avx2", row_units, dropout_run, NULL};
#endif
