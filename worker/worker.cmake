tessera_library(worker
  HEADERS rank_worker.h sequence_table.h step_runner.h worker_group.h
  SOURCES rank_worker.cc sequence_table.cc step_runner.cc worker_group.cc
  DEPS tessera::scheduler_contract tessera::worker_cache tessera::worker_checkpoint tessera::worker_exchange
       tessera::worker_model tessera::worker_sample absl::flat_hash_map)
