#include "dnas/engine/registry.hpp"
#include "usage_error.hpp"
#include "verbs.hpp"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::apps {
namespace {

struct Verb {
  const char* name;
  const char* help;
  ExitCode (*run)(const Arguments&, Messages&);
};

constexpr std::array verbs = {
    Verb{"search", "Search for an architecture; writes everything into a run folder", run_search_verb},
    Verb{"inspect", "Count parameters, multiply-adds and memory of a network without running it", run_inspect_verb},
    Verb{"list", "List methods, spaces, data sets, genotypes and the parts that methods are made of", run_list_verb},
    Verb{"probe", "Evaluate a supernet once on given tensors and write loss and gradients", run_probe_verb},
    Verb{"bench", "Measure the steps of a search on random images: time, memory, time per operation", run_bench_verb},
    Verb{"query", "Look architectures of NAS-Bench-201 up in a table of accuracies", run_query_verb},
};

std::string help_text() {
  std::string text =
      "dnas: differentiable neural architecture search\n"
      "Usage: dnas VERB [ARGUMENTS]     dnas VERB --help     dnas --version\n\n";
  for (const Verb& verb : verbs)
    text += fmt::format("  {:<9} {}\n", verb.name, verb.help);
  text +=
      "\nIn flags '-' and '_' are alike. Results go to stdout, messages and progress to stderr.\n"
      "\nExamples:\n"
      "  dnas search --dataset digits --init_channels 8 --layers 3 --epochs 5 --out runs/first\n"
      "  dnas search --out runs/first --resume\n"
      "  dnas inspect --genotype DARTS_V2\n"
      "  dnas list methods\n"
      "\nExit codes: 0 done, 64 usage, 65 bad data, 66 input missing, 69 not available on this machine,\n"
      "74 I/O error or disk full, 75 stopped on a signal with a good checkpoint, 78 bad configuration,\n"
      "80 numerical failure, 1 internal error.\n";
  return text;
}

[[noreturn]] void throw_unknown_verb(const std::string& name) {
  std::vector<std::string> names;
  names.reserve(std::size(verbs));
  for (const Verb& verb : verbs)
    names.emplace_back(verb.name);
  const std::string nearest = nearest_match(name, names);
  throw UsageError(nearest.empty() ? fmt::format("unknown {} '{}'", name.front() == '-' ? "flag" : "verb", name)
                                   : fmt::format("unknown verb '{}'; did you mean {}?", name, nearest));
}

ExitCode run(const Arguments& arguments, Messages& messages) {
  if (arguments.empty()) throw UsageError("a verb is missing");
  const std::string& first = arguments.front();
  if (first == "--help" || first == "-h" || first == "help") {
    if (first == "help" && arguments.size() > 1) return run({arguments[1], "--help"}, messages);
    fmt::print("{}", help_text());
    return ExitCode::done;
  }
  if (first == "--version") {
    fmt::print("dnas {}\n", DNAS_VERSION);
    return ExitCode::done;
  }
  for (const Verb& verb : verbs) {
    if (first != verb.name) continue;
    messages.set_verb(first);
    return verb.run({arguments.begin() + 1, arguments.end()}, messages);
  }
  throw_unknown_verb(first);
}

ExitCode report(const std::exception& error, const Arguments& arguments, Messages& messages) {
  const ExitCode code = exit_code_of(error);
  messages.status("");
  if (code == ExitCode::internal) {
    messages.error(fmt::format("internal error: {}", error.what()));
  } else if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    messages.error("out of memory");
    messages.hint(
        "smaller images, --batch_size, --init_channels or --layers need less, --memory_budget trades time for memory; "
        "'dnas inspect' counts it and takes none");
  } else {
    messages.error(error.what());
  }
  if (code == ExitCode::usage) {
    const bool verb_known = !arguments.empty() && std::any_of(verbs.begin(), verbs.end(), [&](const Verb& verb) {
      return arguments.front() == verb.name;
    });
    messages.hint(verb_known ? fmt::format("dnas {} --help lists all flags", arguments.front())
                             : std::string("dnas --help lists the verbs"));
  }
  return code;
}

ExitCode guarded(const Arguments& arguments, Messages& messages) {
  try {
    const ExitCode code = run(arguments, messages);
    // A result that could not be written is no result.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw IoError("cannot write to standard output");
    return code;
  } catch (const std::exception& error) {
    return report(error, arguments, messages);
  }
}

}  // namespace
}  // namespace dnas::apps

int main(int argc, char** argv) {
  using namespace dnas::apps;
  // A file that grows past a limit is an I/O error with a message, not a death.
  signal(SIGXFSZ, SIG_IGN);
  Messages messages;
  return static_cast<int>(guarded(normalised(Arguments(argv + 1, argv + argc)), messages));
}
