#include "launch/commands/evaluate_images.h"

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "launch/run/class_table.h"
#include "launch/stored_model/evaluation.h"
#include "launch/stored_model/image_model.h"
#include "launch/stored_model/model_source.h"
#include "launch/terminal/amount_progress.h"
#include "launch/terminal/json_line.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"

namespace interlock {
namespace {

void tell(const ImageEvaluation& asked, const BatchResult& sum, double majority, double seconds) {
  const auto all = static_cast<double>(sum.targets);
  const double loss = sum.loss / all, top1 = static_cast<double>(sum.right) / all,
               top5 = static_cast<double>(sum.among_five) / all, speed = seconds > 0 ? all / seconds : 0;
  std::ostream& out = asked.json ? std::cerr : std::cout;
  out << class_table("Held out", {.accuracy = top1, .loss = loss, .majority_baseline = majority}) << std::fixed
      << std::setprecision(2) << "Top-1 " << 100 * top1 << " %, top-5 " << 100 * top5 << " %\n"
      << sum.targets << " samples, " << std::setprecision(0) << speed << " samples/s\n";
  if (!asked.json) return;
  const nlohmann::ordered_json result = {
      {"loss", loss}, {"accuracy", top1},       {"majority_baseline", majority}, {"top1", top1},
      {"top5", top5}, {"samples", sum.targets}, {"samples_per_second", speed}};
  std::cout << json_line(result) << std::flush;
}

}  // namespace

int evaluate_images(const ImageEvaluation& asked) {
  // Of what its run held out, as much as the run looked at.
  const HeldOutPart part = asked.files.empty()
                               ? read_held_out_part(stored_settings(*asked.weights).config.section("data"))
                               : HeldOutPart::all;
  const ImageModel source = open_image_model(asked.weights, asked.files, part);
  for (const std::string& note : source.data->notes()) log_info(note);
  const LoadedModel model = load_model(*source.model, *source.weights);
  const int64_t count = std::min(source.data->samples(Split::held_out), asked.samples.value_or(INT64_MAX));
  if (count == 0) throw Error(ExitCode::bad_input, "--data: there is no sample to evaluate in it");
  const auto start = std::chrono::steady_clock::now();
  const int64_t size = evaluation_batch(*source.data);
  AmountProgress bar("evaluate", (count + size - 1) / size, false);
  const int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const auto results =
      evaluate_batches(model, *source.data, count, 0, 1, threads, [&](int64_t done) { bar.show(done); });
  BatchResult sum;
  for (const BatchResult& one : results) {
    sum.loss += one.loss;
    sum.targets += one.targets;
    sum.right += one.right;
    sum.among_five += one.among_five;
  }
  tell(asked, sum, majority_of(*source.data, count),
       std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return static_cast<int>(ExitCode::done);
}

}  // namespace interlock
