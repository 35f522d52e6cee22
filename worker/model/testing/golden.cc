#include "worker/model/testing/golden.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include "base/check.h"
#include "nlohmann/json.hpp"

namespace tessera {

Golden ReadGolden(const std::string& name) {
  Golden golden{.folder = "tests/golden/model/" + name};
  std::ifstream file(golden.folder + "/golden.bin", std::ios::binary);
  std::string line;
  std::getline(file, line);
  TESSERA_CHECK(file.good());
  const nlohmann::json header = nlohmann::json::parse(line);
  header.at("tokens").get_to(golden.tokens);
  header.at("rows").get_to(golden.rows);
  header.at("num_far_tokens").get_to(golden.num_far_tokens);
  header.at("far_rows").get_to(golden.far_rows);
  for (const auto& tensor : header.at("tensors")) {
    Golden::Values values{.rows = tensor.at("shape").at(0), .cols = tensor.at("shape").at(1)};
    values.data.resize(static_cast<size_t>(values.rows * values.cols));
    file.read(reinterpret_cast<char*>(values.data.data()),
              static_cast<std::streamsize>(values.data.size() * sizeof(float)));
    TESSERA_CHECK(file.good());
    golden.values.emplace(tensor.at("name").get<std::string>(), std::move(values));
  }
  return golden;
}

double RelativeError(const float* got, const float* wanted, int64_t size) {
  double difference = 0;
  double largest = 0;
  for (int64_t i = 0; i < size; ++i) {
    if (!std::isfinite(got[i])) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(static_cast<double>(got[i]) - static_cast<double>(wanted[i])));
    largest = std::max(largest, std::abs(static_cast<double>(wanted[i])));
  }
  return difference / largest;
}

}  // namespace tessera
