#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace tessera {

// Each adds one subcommand with its flags to `app`. `*run` is set to what to do when the command line chose it; it
// returns the process's exit code.
using Runner = std::function<int()>;
void AddServe(CLI::App& app, Runner* run);
void AddChat(CLI::App& app, Runner* run);
void AddCheck(CLI::App& app, Runner* run);
void AddInspect(CLI::App& app, Runner* run);
void AddTokenize(CLI::App& app, Runner* run);
void AddBench(CLI::App& app, Runner* run);
void AddSimulate(CLI::App& app, Runner* run);

}  // namespace tessera
