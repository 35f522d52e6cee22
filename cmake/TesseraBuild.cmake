# How every target of Tessera is built: language level, warnings, sanitizers, and the functions that declare targets.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# Sanitized unit tests must stay quick: optimize a little, keep frames and checks.
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -g1 -fno-omit-frame-pointer")
set(CMAKE_C_FLAGS_SANITIZE "-O1 -g1 -fno-omit-frame-pointer")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(spdlog REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)

add_library(tessera_options INTERFACE)
target_compile_options(tessera_options INTERFACE -Wall -Wextra -Wconversion -Wshadow -Werror
                       -Wno-missing-field-initializers  # designated initializers name what differs from the defaults
                       -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(tessera_options INTERFACE -Wthread-safety)
endif()
target_include_directories(tessera_options INTERFACE "${CMAKE_SOURCE_DIR}")
if(TESSERA_SANITIZE)
  target_compile_options(tessera_options INTERFACE "-fsanitize=${TESSERA_SANITIZE}" -fno-sanitize-recover=all)
  target_link_options(tessera_options INTERFACE "-fsanitize=${TESSERA_SANITIZE}")
  if(TESSERA_SANITIZE MATCHES "thread")
    # GCC warns that its thread sanitizer does not model std::atomic_thread_fence; we do not rely on fences.
    target_compile_options(tessera_options INTERFACE -Wno-error=tsan)
  endif()
endif()
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ${TESSERA_HEADER_CHECK})

# tessera_library(name HEADERS h... [SOURCES cc...] [DEPS target...]): one library target a folder, tessera::name.
function(tessera_library name)
  cmake_parse_arguments(ARG "" "" "HEADERS;SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(tessera_${name} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
  else()
    add_library(tessera_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_sources(tessera_${name} ${scope} FILE_SET HEADERS BASE_DIRS "${CMAKE_SOURCE_DIR}" FILES ${ARG_HEADERS})
  target_link_libraries(tessera_${name} ${scope} tessera_options ${ARG_DEPS})
  add_library(tessera::${name} ALIAS tessera_${name})
endfunction()

# tessera_test(name SOURCES cc... [DEPS target...]): a GoogleTest program, one ctest entry; runs in the source folder so
# that golden files are found by their path in the repository.
function(tessera_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE tessera_options ${ARG_DEPS} GTest::gmock_main Threads::Threads)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  set_tests_properties(${name} PROPERTIES TIMEOUT 300)
endfunction()

# tessera_benchmark(name SOURCES cc... [DEPS target...]): a Google Benchmark program; never run as a test.
function(tessera_benchmark name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE tessera_options ${ARG_DEPS} benchmark::benchmark_main)
endfunction()

# tessera_fuzz(name SOURCES cc... [DEPS target...]): a libFuzzer program. Without TESSERA_FUZZ the same source is linked
# with a main that replays the seed corpus given by the test, so that every build keeps the target alive.
function(tessera_fuzz name)
  cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;DEPS" ${ARGN})
  if(TESSERA_FUZZ)
    add_executable(${name} ${ARG_SOURCES})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${ARG_SOURCES} "${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc")
    add_test(NAME ${name} COMMAND ${name} ${ARG_CORPUS} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  endif()
  target_link_libraries(${name} PRIVATE tessera_options ${ARG_DEPS})
endfunction()
