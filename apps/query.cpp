#include "dnas/kernels/error.hpp"
#include "dnas/search/nb201_table.hpp"
#include "genotype_argument.hpp"
#include "units.hpp"
#include "usage_error.hpp"
#include "verbs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace dnas::apps {
namespace {

using search::Nb201Column;
using search::Nb201Table;
using Json = nlohmann::ordered_json;

constexpr const char* description =
    "Looks architectures of NAS-Bench-201 up in a table of their accuracies and sizes. The table is made once, from a\n"
    "CSV file, plain or gzip, with the columns index, arch, c10_test, c100_test and im16_test; others, as "
    "c10_val_12ep,\n"
    "params_c10 or macs_c10, are taken where they are there.";

constexpr const char* examples =
    "Examples:\n"
    "  dnas query --convert nb201.csv.gz --out nb201.dnas\n"
    "  dnas query --table nb201.dnas '|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|'\n"
    "  dnas query --table nb201.dnas --index 1835 --json\n"
    "  dnas query --table nb201.dnas --genotype runs/nb201/genotype.json\n"
    "  dnas query --table nb201.dnas --best c10_test --top 10";

struct QueryFlags {
  std::string convert;
  std::string out;
  std::string table;
  std::string architecture;
  std::int64_t index = 0;
  std::string genotype;
  std::string best;
  int top = 1;
};

/// The number that the table was made from, whose nearest float is stored.
double written_number(float value) {
  return std::strtod(fmt::format("{}", value).c_str(), nullptr);
}

std::string value_text(const Nb201Column& column, int code) {
  if (column.is_accuracy()) return fmt::format("{:.2f}", column.at(code));
  return with_commas(std::get<1>(column.values)[static_cast<std::size_t>(code)]);
}

Json value_json(const Nb201Column& column, int code) {
  const auto row = static_cast<std::size_t>(code);
  if (column.is_accuracy()) return written_number(std::get<0>(column.values)[row]);
  return std::get<1>(column.values)[row];
}

std::string architecture_text(int code) {
  return search::to_text(search::nb201_cell(code));
}

Json architecture_json(const Nb201Table& table, int code) {
  Json values = Json::object();
  for (const Nb201Column& column : table.columns())
    values[column.name] = value_json(column, code);
  return {{"index", table.index_of(code)},
          {"code", code},
          {"arch", architecture_text(code)},
          {"values", std::move(values)}};
}

/// Lines of cells under each other, each column as wide as its widest cell: numbers right, what names or explains them
/// (the first and the last) left.
void print_aligned(const std::vector<std::vector<std::string>>& lines) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const std::vector<std::string>& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], line[i].size());
  }
  for (const std::vector<std::string>& line : lines) {
    fmt::print("{:<{}}", line.front(), widths.front());
    for (std::size_t i = 1; i + 1 < line.size(); ++i)
      fmt::print("  {:>{}}", line[i], widths[i]);
    fmt::print("  {}\n", line.back());
  }
}

void print_architecture(const Nb201Table& table, int code, bool json) {
  if (json) {
    Json result = architecture_json(table, code);
    for (const Nb201Column& column : table.columns())
      result["ranks"][column.name] = search::rank_of(column, code);
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{}\nindex {}, code {}\n", architecture_text(code), table.index_of(code), code);
  std::vector<std::vector<std::string>> lines;
  for (const Nb201Column& column : table.columns()) {
    lines.push_back({"  " + column.name, value_text(column, code),
                     fmt::format("rank {} of {}", with_commas(search::rank_of(column, code)),
                                 with_commas(search::nb201_architectures))});
  }
  print_aligned(lines);
}

void print_best(const Nb201Table& table, const Nb201Column& by, int count, bool json) {
  const std::vector<int> codes = search::best_codes(table, by, count);
  if (json) {
    Json list = Json::array();
    for (const int code : codes)
      list.push_back(architecture_json(table, code));
    fmt::print("{}\n", Json{{"column", by.name}, {"best", std::move(list)}}.dump(2));
    return;
  }
  std::vector<const Nb201Column*> shown = {&by};
  for (const char* const name : {"c10_test", "c100_test", "im16_test"}) {
    if (by.name != name) shown.push_back(&table.column(name));
  }
  std::vector<std::vector<std::string>> lines = {{"index"}};
  for (const Nb201Column* column : shown)
    lines.front().push_back(column->name);
  lines.front().emplace_back("arch");
  for (const int code : codes) {
    std::vector<std::string>& line = lines.emplace_back();
    line.push_back(fmt::format("{:>5}", table.index_of(code)));
    for (const Nb201Column* column : shown)
      line.push_back(value_text(*column, code));
    line.push_back(architecture_text(code));
  }
  print_aligned(lines);
}

void convert(const QueryFlags& flags, bool json, Messages& messages) {
  const search::Nb201Conversion done = search::convert_nb201_csv(flags.convert, flags.out);
  if (!done.ignored.empty()) messages.info(fmt::format("columns ignored: {}", fmt::join(done.ignored, ", ")));
  if (json) {
    fmt::print("{}\n", Json{{"file", flags.out},
                            {"architectures", search::nb201_architectures},
                            {"columns", done.columns},
                            {"ignored", done.ignored},
                            {"bytes", done.bytes}}
                           .dump(2, ' ', false, Json::error_handler_t::replace));
    return;
  }
  fmt::print("{}: {} architectures, {} bytes, columns {}\n", flags.out, with_commas(search::nb201_architectures),
             with_commas(static_cast<std::int64_t>(done.bytes)), fmt::join(done.columns, ", "));
}

void add_flags(CLI::App& app, QueryFlags& flags) {
  app.add_option("ARCH", flags.architecture,
                 "An architecture as the benchmark writes it, |op~0|+|op~0|op~1|+|op~0|op~1|op~2| (in quotes)")
      ->type_name("");
  app.add_option("--table", flags.table, "The table to look up in")->type_name("FILE");
  app.add_option("--index", flags.index, "The architecture of this number in the benchmark, 0 to 15624")
      ->type_name("N");
  app.add_option("--genotype", flags.genotype,
                 "The architecture that a search in this space found: its genotype.json or .txt")
      ->type_name("FILE");
  app.add_option("--best", flags.best,
                 "The architectures with the highest value in this column; the lowest of params_* and macs_*")
      ->type_name("COLUMN");
  app.add_option("--top", flags.top, "With --best: how many [1]")->type_name("K");
  app.add_option("--convert", flags.convert, "The CSV file to make a table from, plain or gzip")->type_name("CSV");
  app.add_option("--out", flags.out, "With --convert: the table to write; an older one is replaced")->type_name("FILE");
}

/// Flags that miss each other or exclude each other.
void check_flags(const CLI::App& app) {
  const auto given = [&](const char* name) { return app.count(name) > 0; };
  const int questions = static_cast<int>(given("ARCH")) + static_cast<int>(given("--index")) +
                        static_cast<int>(given("--genotype")) + static_cast<int>(given("--best"));
  if (given("--convert") && given("--table")) throw UsageError("--convert makes a table, --table reads one: give one");
  if (given("--top") && !given("--best")) throw UsageError("--top needs --best COLUMN");
  if (given("--out") && !given("--convert")) throw UsageError("--out needs --convert CSV");
  if (given("--convert")) {
    if (!given("--out")) throw UsageError("--convert needs --out FILE");
    if (questions > 0) throw UsageError("--convert makes a table; look up in it with --table in a second command");
    return;
  }
  if (!given("--table")) throw UsageError("--table FILE is missing; --convert CSV --out FILE makes one");
  if (questions != 1) throw UsageError("expected one of: an architecture, --index N, --genotype FILE, --best COLUMN");
}

int chosen_code(const Nb201Table& table, const QueryFlags& flags, const CLI::App& app) {
  if (app.count("--index") > 0) return table.code_of_index(flags.index);
  if (app.count("--genotype") > 0) return search::nb201_code(search::nb201_cell(read_genotype(flags.genotype)));
  return search::nb201_code(search::parse_nb201_cell(flags.architecture));
}

}  // namespace

ExitCode run_query_verb(const Arguments& arguments, Messages& messages) {
  VerbParser parser("query", description);
  parser.app().footer(examples);
  QueryFlags flags;
  add_flags(parser.app(), flags);
  parser.add_output_flags(messages);
  if (!parser.parse(arguments)) return ExitCode::done;
  check_flags(parser.app());
  if (flags.top < 1 || flags.top > search::nb201_architectures)
    throw UsageError(fmt::format("--top is {}, expected 1 to {}", flags.top, search::nb201_architectures));

  if (!flags.convert.empty()) {
    convert(flags, parser.json(), messages);
    return ExitCode::done;
  }
  const Nb201Table table(flags.table);
  if (parser.app().count("--best") > 0) {
    print_best(table, table.column(flags.best), flags.top, parser.json());
  } else {
    print_architecture(table, chosen_code(table, flags, parser.app()), parser.json());
  }
  return ExitCode::done;
}

}  // namespace dnas::apps
