/* Adapters' files and the maps of a model (core/lora.h). */
#ifndef FORMATS_ADAPTER_H
#define FORMATS_ADAPTER_H

#include "core/lora.h"
#include "formats/formats.h"

/* Adds it to *l, which borrows its tensors; `scale` is what the user gave beside the adapter's own. */
bool adapter_lora(const Adapter *x, const Model *m, double scale, Lora *l, Err *e);

#endif
