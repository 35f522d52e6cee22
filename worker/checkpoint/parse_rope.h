#pragma once

#include "worker/checkpoint/config_fields.h"
#include "worker/checkpoint/model_config.h"
#include "worker/checkpoint/parse_model_config.h"

namespace tessera {

// The rotary embedding of config.json: rope_theta with rope_scaling, or rope_parameters which holds both. Sets
// rope_theta and yarn, and lowers max_position_embeddings (0: absent) to what the rotation covers.
void ParseRope(ConfigFields& fields, ModelConfig& config, ParsedConfig& result);

}  // namespace tessera
