#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/string_map.h"
#include "worker/checkpoint/mapped_file.h"
#include "worker/checkpoint/problem_list.h"
#include "worker/checkpoint/safetensors_header.h"

namespace tessera {

// Where a tensor lies.
struct TensorPlace {
  size_t file = 0;  // index in TensorFiles::names and files
  StoredDType dtype = StoredDType::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0;
  int64_t bytes = 0;
};

// The safetensors files of a checkpoint, mapped, and all their tensors by name.
struct TensorFiles {
  std::vector<std::string> names;  // without the folder
  std::vector<MappedFile> files;
  StringMap<TensorPlace> tensors;
  std::set<std::string> unread;  // tensors that the index places in files that are missing or damaged
};

// Opens what model.safetensors.index.json lists, or else model.safetensors, and reads all headers. Whatever is wrong
// goes to `problems` and the rest is read all the same; harmless oddities go to `warnings`.
TensorFiles OpenTensorFiles(const std::string& folder, ProblemList& problems, ProblemList& warnings);

}  // namespace tessera
