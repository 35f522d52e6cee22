#include "worker/checkpoint/tensor_files.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "worker/checkpoint/config_fields.h"
#include "worker/checkpoint/json_text.h"

namespace tessera {
namespace {

constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::string_view kSingleFile = "model.safetensors";
constexpr HeaderJsonLimits kIndexLimits = {.bytes_max = 64 << 20, .depth_max = 8};  // Kimi-K2's index has about 15 MB

bool HasSafetensorsEnding(const std::string& name) { return absl::EndsWith(name, ".safetensors"); }

// A name of a file in the folder itself: an index must not reach out of it.
bool IsPlainFileName(const std::string& name) {
  return HasSafetensorsEnding(name) && name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

std::set<std::string> ListSafetensors(const std::string& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    std::string name = entry.path().filename().string();
    if (HasSafetensorsEnding(name)) names.insert(std::move(name));
  }
  return names;
}

class Opener {
 public:
  Opener(const std::string& folder, ProblemList& problems, ProblemList& warnings)
      : folder_(folder), problems_(problems), warnings_(warnings) {}

  TensorFiles Open() && {
    const std::string index_path = folder_ + "/" + std::string(kIndexFile);
    absl::StatusOr<std::string> text = ReadTextFile(index_path, kIndexLimits.bytes_max);
    if (text.ok()) {
      OpenByIndex(*text);
    } else if (absl::IsNotFound(text.status())) {
      OpenSingleFile();
    } else {
      problems_.Add(std::string(text.status().message()));
    }
    return std::move(result_);
  }

 private:
  void OpenSingleFile() {
    const std::set<std::string> present = ListSafetensors(folder_);
    if (present.count(std::string(kSingleFile)) == 0) {
      problems_.Add(absl::StrFormat("%s: holds neither %s nor %s, but %d other safetensors files", folder_, kIndexFile,
                                    kSingleFile, present.size()));
      return;
    }
    OpenFile(std::string(kSingleFile));
    WarnOfUnusedFiles(present);
  }

  void OpenByIndex(std::string_view text) {
    absl::StatusOr<nlohmann::json> index = ParseJsonObject(text, kIndexFile, kIndexLimits);
    if (!index.ok()) {
      problems_.Add(std::string(index.status().message()));
      return;
    }
    const auto weight_map = index->find("weight_map");
    if (weight_map == index->end() || !weight_map->is_object() || weight_map->empty()) {
      problems_.Add(absl::StrFormat("%s: 'weight_map' is missing or not an object of names", kIndexFile));
      return;
    }
    std::set<std::string> files;
    for (const auto& [tensor, file] : weight_map->items()) {
      if (file.is_string() && IsPlainFileName(file.get_ref<const std::string&>())) {
        files.insert(file.get<std::string>());
      } else {
        problems_.AddTensor(tensor,
                            absl::StrFormat("is mapped to %s, wanted a safetensors file of the same folder",
                                            file.dump(-1, ' ', false, kReplace).substr(0, 100)),
                            kIndexFile);
      }
    }
    for (const std::string& file : files) OpenFile(file);
    CompareWithIndex(*weight_map);
    CompareTotal(*index);
    WarnOfUnusedFiles(ListSafetensors(folder_));
  }

  void OpenFile(const std::string& name) {
    const std::string path = folder_ + "/" + name;
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
      problems_.Add(absl::StrFormat("%s: the file is missing from %s", name, folder_));
      missing_.insert(name);
      return;
    }
    absl::StatusOr<MappedFile> file = MappedFile::Open(path);
    if (!file.ok()) {
      problems_.Add(std::string(file.status().message()));
      missing_.insert(name);
      return;
    }
    const std::string_view bytes = file->bytes();
    absl::StatusOr<std::vector<StoredTensor>> tensors =
        ParseSafetensorsHeader(bytes, static_cast<int64_t>(bytes.size()), name);
    if (!tensors.ok()) {
      problems_.Add(std::string(tensors.status().message()));
      missing_.insert(name);
      return;
    }
    result_.names.push_back(name);
    result_.files.push_back(*std::move(file));
    for (StoredTensor& tensor : *tensors) AddTensor(std::move(tensor));
  }

  void AddTensor(StoredTensor tensor) {
    const size_t file = result_.names.size() - 1;
    const auto [found, is_new] = result_.tensors.try_emplace(
        std::move(tensor.name), TensorPlace{file, tensor.dtype, std::move(tensor.shape), tensor.begin, tensor.bytes});
    if (!is_new) {
      problems_.AddTensor(found->first, absl::StrFormat("is in %s too", result_.names[found->second.file]),
                          result_.names[file]);
    }
  }

  void CompareWithIndex(const nlohmann::json& weight_map) {
    for (const auto& [tensor, file] : weight_map.items()) {
      if (!file.is_string()) continue;
      if (missing_.count(file.get<std::string>()) != 0) {
        result_.unread.insert(tensor);
        continue;
      }
      const auto found = result_.tensors.find(tensor);
      if (found == result_.tensors.end()) {
        problems_.AddTensor(tensor, "is not in the file that the index names", file.get<std::string>());
      } else if (result_.names[found->second.file] != file.get<std::string>()) {
        problems_.AddTensor(tensor,
                            absl::StrFormat("is in %s, not where the index says", result_.names[found->second.file]),
                            file.get<std::string>());
      }
    }
    std::set<std::string_view> unlisted;  // sorted, so that the same folder gives the same lines
    for (const auto& [tensor, place] : result_.tensors) {
      if (!weight_map.contains(tensor)) unlisted.insert(tensor);
    }
    for (const std::string_view tensor : unlisted) {
      const size_t file = result_.tensors.find(tensor)->second.file;
      problems_.AddTensor(tensor, absl::StrFormat("is not in %s", kIndexFile), result_.names[file]);
    }
  }

  // Some published indexes have a wrong sum, and no loader reads it; that nothing is missing is proved otherwise.
  void CompareTotal(const nlohmann::json& index) {
    const auto metadata = index.find("metadata");
    if (metadata == index.end() || !metadata->is_object() || !missing_.empty()) return;
    const auto total = metadata->find("total_size");
    if (total == metadata->end()) return;
    int64_t bytes = 0;
    for (const auto& [name, place] : result_.tensors) bytes += place.bytes;
    if (!total->is_number() || total->get<double>() != static_cast<double>(bytes)) {
      warnings_.Add(absl::StrFormat("%s: 'total_size' is %s, the tensors have %d bytes", kIndexFile,
                                    total->dump(-1, ' ', false, kReplace).substr(0, 40), bytes));
    }
  }

  void WarnOfUnusedFiles(const std::set<std::string>& present) {
    for (const std::string& name : present) {
      const bool used = std::find(result_.names.begin(), result_.names.end(), name) != result_.names.end();
      if (!used && missing_.count(name) == 0) {
        warnings_.Add(absl::StrFormat("%s: not part of the checkpoint by its index, ignored", name));
      }
    }
  }

  static constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
  const std::string& folder_;
  ProblemList& problems_;
  ProblemList& warnings_;
  TensorFiles result_;
  std::set<std::string> missing_;  // files with a line of their own
};

}  // namespace

TensorFiles OpenTensorFiles(const std::string& folder, ProblemList& problems, ProblemList& warnings) {
  return Opener(folder, problems, warnings).Open();
}

}  // namespace tessera
