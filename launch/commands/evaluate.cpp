// `interlock evaluate`: masked loss, perplexity and accuracy of a trained model on a text. Started under mpirun, the
// ranks share the work.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <thread>

#include "launch/command.h"
#include "launch/run/together.h"
#include "launch/stored_model/evaluation.h"
#include "launch/terminal/amount_progress.h"
#include "launch/terminal/interruption.h"
#include "parallel/transport/group.h"
#include "parallel/transport/launch_place.h"
#include "runtime/core/log.h"

namespace interlock {
namespace {

// The results of all ranks, in the order of the batches.
std::vector<BatchResult> gather(Transport& transport, const std::vector<BatchResult>& own) {
  std::vector<int> members(static_cast<size_t>(transport.size()));
  std::iota(members.begin(), members.end(), 0);
  const std::string bytes(reinterpret_cast<const char*>(own.data()), own.size() * sizeof(BatchResult));
  const std::vector<std::string> gathered = Group(transport, members, 0, 0).all_gather(bytes);
  std::vector<BatchResult> all;
  for (size_t row = 0; row * sizeof(BatchResult) < gathered.front().size(); ++row)
    for (const std::string& part : gathered) {
      if ((row + 1) * sizeof(BatchResult) > part.size()) break;  // the last row is short
      std::memcpy(&all.emplace_back(), part.data() + row * sizeof(BatchResult), sizeof(BatchResult));
    }
  return all;
}

class Evaluate final : public Command {
 public:
  std::string summary() const override { return "measure how well a trained model predicts masked text"; }
  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a run folder, checkpoint, weights file or imported model")->required();
    app.add_option("--data", data_, "texts (files, folders, globs), or token files (PREFIX, PREFIX.bin or PREFIX.idx)")
        ->required();
    app.add_option("--sequences", sequences_, "evaluate so many sequences; all by default")->check(CLI::PositiveNumber);
    app.add_option("--seed", seed_, "of masks, and of which sequences come first")->check(CLI::NonNegativeNumber);
    app.add_flag("--json", json_, "end with one JSON object on stdout");
  }
  int run() override;

 private:
  struct Loaded {
    std::shared_ptr<const Dataset> dataset;
    LoadedModel model;
  };
  Loaded load();
  std::shared_ptr<const Dataset> prepare(const TextModel& source) const;
  // Of rank `place.rank`: the batches that are its own.
  std::vector<BatchResult> share(const LaunchPlace& place, const Loaded& loaded) const;
  void tell(const std::vector<BatchResult>& results, double seconds) const;

  std::string path_;
  std::vector<std::string> data_;
  std::optional<int64_t> sequences_;
  int64_t seed_ = 1, count_ = 0;
  bool json_ = false;
};

int Evaluate::run() {
  const LaunchPlace place = launch_place();
  start_log(place.launched ? place.rank : -1);
  std::optional<Loaded> loaded;
  const auto prepare = [&] { loaded.emplace(load()); };
  const auto measure = [&](Transport* transport) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<BatchResult> results = share(place, *loaded);
    if (transport != nullptr) results = gather(*transport, results);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (place.rank == 0) tell(results, seconds.count());
    return static_cast<int>(ExitCode::done);
  };
  if (place.size > 1)
    return run_together(
        place, [&](Transport&) { prepare(); }, [&](Transport& transport) { return measure(&transport); });
  prepare();
  return measure(nullptr);
}

Evaluate::Loaded Evaluate::load() {
  const TextModel source = open_text_model(path_, "evaluate");
  auto dataset = prepare(source);
  count_ = std::min(dataset->samples(Split::held_out), sequences_.value_or(std::numeric_limits<int64_t>::max()));
  return {std::move(dataset), load_model(source)};
}

// Encoding a text writes temporary files, which Ctrl-C must not leave behind.
std::shared_ptr<const Dataset> Evaluate::prepare(const TextModel& source) const {
  const Interruption interruption;
  try {
    return evaluation_data(source, data_, static_cast<uint64_t>(seed_), [&] { interruption.check(); });
  } catch (const Interrupted& interrupted) {
    end_by(interrupted);
  }
}

std::vector<BatchResult> Evaluate::share(const LaunchPlace& place, const Loaded& loaded) const {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int threads = std::max(1, cores / place.local_size);
  const int64_t size = evaluation_batch(loaded.dataset->sample_length()), batches = (count_ + size - 1) / size;
  std::optional<AmountProgress> bar;
  if (place.rank == 0) bar.emplace("evaluate", (batches + place.size - 1) / place.size, false);
  const auto progress = [&](int64_t done) {
    if (bar) bar->show(done);
  };
  return evaluate_batches(loaded.model, *loaded.dataset, count_, place.rank, place.size, threads, progress);
}

void Evaluate::tell(const std::vector<BatchResult>& results, double seconds) const {
  BatchResult sum;
  for (const BatchResult& result : results) {
    sum.loss += result.loss;
    sum.targets += result.targets;
    sum.right += result.right;
    sum.tokens += result.tokens;
  }
  if (sum.targets == 0) throw Error(ExitCode::bad_input, "--data: nothing to predict in it");
  const double loss = sum.loss / static_cast<double>(sum.targets), perplexity = std::exp(loss);
  const double accuracy = static_cast<double>(sum.right) / static_cast<double>(sum.targets);
  const double speed = seconds > 0 ? static_cast<double>(sum.tokens) / seconds : 0;
  std::ostream& out = json_ ? std::cerr : std::cout;
  out << "Masked loss " << std::fixed << std::setprecision(4) << loss << " nats per target, perplexity "
      << std::setprecision(2) << perplexity << ", accuracy " << 100 * accuracy << " %\n"
      << sum.targets << " targets in " << sum.tokens << " tokens of " << count_ << " sequences, "
      << std::setprecision(0) << speed << " tokens/s\n";
  if (!json_) return;
  const nlohmann::ordered_json result = {
      {"loss", loss},
      {"perplexity", std::isfinite(perplexity) ? nlohmann::ordered_json(perplexity) : nlohmann::ordered_json()},
      {"accuracy", accuracy},
      {"tokens", sum.tokens},
      {"tokens_per_second", speed},
      {"targets", sum.targets},
      {"sequences", count_},
      {"seed", seed_}};
  std::cout << result.dump() << std::endl;
}

const Registration<Command> registered("evaluate", [] { return std::make_unique<Evaluate>(); });

}  // namespace
}  // namespace interlock
