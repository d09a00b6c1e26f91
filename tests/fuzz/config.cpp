// A TOML config with overrides. Input: the file, then, after zero bytes, one override each. Every kind of value is
// asked for. A config that gives all that was asked for says so in its resolved form, which reads back to the same.
#include "runtime/core/config.h"

#include <optional>

#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

// Asks for keys of every type; whether all were given or left out, and none refused.
bool ask(const Section& section) {
  bool sound = true;
  const auto try_to = [&](const auto& act) { sound &= fuzz::accepts(ExitCode::config, act); };
  try_to([&] { section.text("name", "roberta"); });
  try_to([&] { section.one_of("rule", "furthest", {"local", "furthest", "sum", "global"}); });
  try_to([&] { section.integer("steps", 20, 0, 1000); });
  try_to([&] { section.integer("seed", 1); });
  try_to([&] { section.number("rate", 1e-3, 0.0, 1.0); });
  try_to([&] { section.number("weight", 0.5); });
  try_to([&] { section.flag("tied", false); });
  try_to([&] { section.texts("paths", {"a", "b"}); });
  try_to([&] { section.integers("frozen", {}); });
  try_to([&] { section.numbers("shares", {0.25, 0.75}); });
  try_to([&] { section.matrix("matrix", {{1, 0}, {0, 1}}); });
  try_to([&] {
    if (section.is_text("partition")) {
      section.text("partition", "balanced");
    } else {
      section.integers("partition", {2, 2});
    }
  });
  try_to([&] {
    for (const Section& change : section.sections("change")) {
      change.integer("at_step", 2, 2);
      change.text("rule", "local");
      if (change.has("odd")) change.refuse("odd", "is not wanted");
    }
  });
  return sound;
}

bool ask(const Config& config) {
  bool sound = true;
  for (const char* name : {"model", "learning", "run"}) {
    sound &= fuzz::accepts(ExitCode::config, [&] { sound &= ask(config.section(name)); });
  }
  return sound;
}

void check(const Config& config) {
  const bool sound = ask(config);
  const bool known = fuzz::accepts(ExitCode::config, [&] { config.reject_unknown(); });
  const std::string resolved = config.resolved();
  config.resolved_values();
  if (!sound || !known) return;
  std::optional<Config> again;
  fuzz::require(fuzz::accepts(ExitCode::config, [&] { again = Config::from_text(resolved); }), "resolved text is TOML");
  fuzz::require(ask(*again), "resolved values are accepted");
  fuzz::require(fuzz::accepts(ExitCode::config, [&] { again->reject_unknown(); }), "resolved keys are known");
  fuzz::require(again->resolved() == resolved, "a resolved config reads back to the same");
  fuzz::require(again->resolved_values() == config.resolved_values(), "resolved values read back to the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest = fuzz::text_of(data, size);
  std::vector<std::string> parts;
  for (size_t end; (end = rest.find('\0')) != std::string_view::npos; rest.remove_prefix(end + 1)) {
    parts.emplace_back(rest.substr(0, end));
  }
  parts.emplace_back(rest);
  fuzz::accepts(ExitCode::config, [&] { check(Config::from_text(parts[0], {parts.begin() + 1, parts.end()})); });
  return 0;
}
