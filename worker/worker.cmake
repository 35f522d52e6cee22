tessera_library(worker
  HEADERS drafter.h rank_worker.h sequence_table.h slice_batch.h step_runner.h verifier.h worker_group.h
  SOURCES drafter.cc rank_worker.cc sequence_table.cc slice_batch.cc step_runner.cc verifier.cc worker_group.cc
  DEPS tessera::scheduler_contract tessera::worker_cache tessera::worker_checkpoint tessera::worker_exchange
       tessera::worker_model tessera::worker_sample absl::flat_hash_map)

tessera_library(worker_testing
  HEADERS testing/draftable_checkpoint.h testing/failing_backend.h testing/plan_driver.h testing/same_output.h testing/test_group.h
  SOURCES testing/failing_backend.cc testing/plan_driver.cc testing/test_group.cc
  DEPS tessera::worker tessera::worker_model_testing tessera::kernels_reference)

find_package(nlohmann_json REQUIRED)  # prompts of a test

foreach(test draft_acceptance_test draft_test step_runner_test worker_group_test)
  tessera_test(worker_${test} SOURCES ${test}.cc
               DEPS tessera::worker tessera::worker_testing tessera::worker_model_testing tessera::kernels_cpu
                    tessera::base_testing nlohmann_json::nlohmann_json)
endforeach()
