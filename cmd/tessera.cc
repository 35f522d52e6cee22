// tessera: one executable for all roles and tools. Subcommands live in files of their own.
#include <CLI/CLI.hpp>
#include <iostream>

#include "cmd/subcommand.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Serves language models of the DeepSeek-V3/R1 architecture.\n"
      "Try: tessera serve models/demo, then tessera chat http://127.0.0.1:8000");
  app.name("tessera");
  app.set_version_flag("--version", TESSERA_VERSION);
  app.require_subcommand(1);
  tessera::Runner run;
  tessera::AddServe(app, &run);
  tessera::AddChat(app, &run);
  tessera::AddCheck(app, &run);
  tessera::AddInspect(app, &run);
  tessera::AddTokenize(app, &run);
  tessera::AddBench(app, &run);
  tessera::AddSimulate(app, &run);
  CLI11_PARSE(app, argc, argv);
  return run();
}
