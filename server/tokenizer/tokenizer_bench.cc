// Encoding and decoding speed on the demo vocabulary; run in the repository root.

#include <benchmark/benchmark.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "server/tokenizer/stop_matcher.h"
#include "server/tokenizer/stream_decoder.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {
namespace {

const Tokenizer& DemoTokenizer() {
  static const std::unique_ptr<const Tokenizer> tokenizer = *Tokenizer::Load("models/demo");
  return *tokenizer;
}

// Prose and code that every checkout has.
std::string SampleText(size_t bytes) {
  std::string text;
  for (const char* path : {"server/tokenizer/README.md", "server/tokenizer/tokenizer.cc", "server/chat/README.md"}) {
    std::stringstream content;
    content << std::ifstream(path).rdbuf();
    text += content.str();
  }
  while (text.size() < bytes) text += text;
  return text.substr(0, bytes);
}

void Encode(benchmark::State& state, const std::string& text) {
  size_t tokens = 0;
  for (auto _ : state) tokens += DemoTokenizer().Encode(text, SpecialTokens::kAsText)->size();
  state.SetBytesProcessed(static_cast<int64_t>(text.size()) * state.iterations());
  state.counters["tokens"] = benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsRate);
}

void BM_EncodeProse(benchmark::State& state) { Encode(state, SampleText(static_cast<size_t>(state.range(0)))); }
BENCHMARK(BM_EncodeProse)->ArgName("bytes")->Arg(200)->Arg(20000)->Arg(1000000);

void BM_EncodeOneLetter(benchmark::State& state) {
  Encode(state, std::string(static_cast<size_t>(state.range(0)), 'a'));
}
BENCHMARK(BM_EncodeOneLetter)->ArgName("bytes")->Arg(10000)->Arg(100000)->Arg(1000000);

void BM_StreamDecode(benchmark::State& state) {
  const std::vector<TokenId> ids = *DemoTokenizer().Encode(SampleText(20000), SpecialTokens::kAsText);
  for (auto _ : state) {
    StreamDecoder decoder(DemoTokenizer(), /*skip_special=*/true);
    for (const TokenId id : ids) benchmark::DoNotOptimize(decoder.Push(id));
  }
  state.SetItemsProcessed(static_cast<int64_t>(ids.size()) * state.iterations());
}
BENCHMARK(BM_StreamDecode);

void BM_StopMatcher(benchmark::State& state) {
  const auto stops = *StopStrings::Create({"\n\nUser:", "</answer>", "STOP", "```\n"});
  const std::string text = SampleText(20000);
  for (auto _ : state) {
    StopMatcher matcher(stops);
    std::string out;
    for (size_t at = 0; at < text.size(); at += 4) matcher.Push(std::string_view(text).substr(at, 4), out);
    benchmark::DoNotOptimize(out);
  }
  state.SetBytesProcessed(static_cast<int64_t>(text.size()) * state.iterations());
}
BENCHMARK(BM_StopMatcher);

}  // namespace
}  // namespace tessera
