tessera_library(worker
  HEADERS rank_worker.h sequence_table.h step_runner.h worker_group.h
  SOURCES rank_worker.cc sequence_table.cc step_runner.cc worker_group.cc
  DEPS tessera::scheduler_contract tessera::worker_cache tessera::worker_checkpoint tessera::worker_exchange
       tessera::worker_model tessera::worker_sample absl::flat_hash_map)

tessera_library(worker_testing
  HEADERS testing/failing_backend.h testing/plan_driver.h testing/test_group.h
  SOURCES testing/failing_backend.cc testing/plan_driver.cc testing/test_group.cc
  DEPS tessera::worker tessera::kernels_reference)

foreach(test step_runner_test worker_group_test)
  tessera_test(worker_${test} SOURCES ${test}.cc
               DEPS tessera::worker tessera::worker_testing tessera::worker_model_testing tessera::base_testing)
endforeach()
