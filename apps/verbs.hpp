#pragma once

#include "arguments.hpp"
#include "exit_code.hpp"
#include "messages.hpp"

/// One function per verb of the command; each has a file of its name. They write results to stdout and throw what goes
/// wrong; main() turns that into messages and an exit code.
namespace dnas::apps {

[[nodiscard]] ExitCode run_search_verb(const Arguments& arguments, Messages& messages);
[[nodiscard]] ExitCode run_inspect_verb(const Arguments& arguments, Messages& messages);
[[nodiscard]] ExitCode run_list_verb(const Arguments& arguments, Messages& messages);
[[nodiscard]] ExitCode run_probe_verb(const Arguments& arguments, Messages& messages);
[[nodiscard]] ExitCode run_bench_verb(const Arguments& arguments, Messages& messages);
[[nodiscard]] ExitCode run_query_verb(const Arguments& arguments, Messages& messages);

}  // namespace dnas::apps
