/* Loss, optimisers and dropout, with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/optim.h"
#include "backends/cpu/tuned.h"

const Kernel neon_cross_entropy = {"neon", loss_units, cross_entropy_run, NULL};
const Kernel neon_cross_entropy_dx = {"neon", row_units, cross_entropy_dx_run, NULL};
const Kernel neon_sum_squares = {"neon", loss_units, sum_squares_run, NULL};
const Kernel neon_adamw = {"neon", row_units, adamw_run, NULL};
const Kernel neon_sgd = {"neon", row_units, sgd_run, NULL};
const Kernel neon_muon_momentum = {"neon", row_units, muon_momentum_run, NULL};
const Kernel neon_muon_unit = {"neon", row_units, muon_unit_run, NULL};
const Kernel neon_mix = {"neon", row_units, mix_run, NULL};
const Kernel neon_muon = {"neon", row_units, muon_run, NULL};
const Kernel neon_dropout = {"neon", row_units, dropout_run, NULL};
#endif
