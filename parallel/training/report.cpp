#include "parallel/training/report.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "parallel/transport/control_lanes.h"

namespace interlock {
namespace {

std::vector<double> pack(const StepReport& report) {
  std::vector<double> packed{static_cast<double>(report.step), report.seconds, report.waited,
                             report.norm_squared_of_model};
  for (const StageReport& stage : report.stages)
    packed.insert(packed.end(),
                  {static_cast<double>(stage.stage), stage.loss.sum, static_cast<double>(stage.loss.count),
                   stage.body_norm_squared, stage.head_norm_squared});
  return packed;
}

StepReport unpack(const Buffer& payload) {
  std::vector<double> packed(payload.bytes / sizeof(double));
  std::memcpy(packed.data(), payload.data, packed.size() * sizeof(double));
  StepReport report{.step = static_cast<int64_t>(packed[0]),
                    .stages = {},
                    .seconds = packed[1],
                    .waited = packed[2],
                    .norm_squared_of_model = packed[3]};
  for (size_t at = 4; at + 5 <= packed.size(); at += 5)
    report.stages.push_back({static_cast<int>(packed[at]),
                             {packed[at + 1], static_cast<int64_t>(packed[at + 2])},
                             packed[at + 3],
                             packed[at + 4]});
  return report;
}

}  // namespace

ReportExchange::ReportExchange(Transport& transport, uint64_t run) : transport_(transport), run_(run) {
  if (transport_.rank() == 0)
    for (int from = 1; from < transport_.size(); ++from) post(from);
}

void ReportExchange::post(int from) {
  Incoming& incoming = incoming_[from];
  MessageHeader expected;
  expected.run = run_;
  expected.lane = step_report_lane;
  incoming.handle = transport_.receive_any_size(from, expected, &incoming.header, &incoming.payload);
}

void ReportExchange::take(int from) {
  Incoming& incoming = incoming_[from];
  incoming.handle->wait();
  const StepReport report = unpack(incoming.payload);
  steps_[report.step][from] = report;
}

void ReportExchange::add(const StepReport& report) {
  if (transport_.rank() == 0) {
    steps_[report.step][0] = report;
    return;
  }
  const std::vector<double> packed = pack(report);
  MessageHeader header;
  header.run = run_;
  header.lane = step_report_lane;
  header.bytes = packed.size() * sizeof(double);
  Buffer payload = Buffer::allocate(header.bytes);
  std::memcpy(payload.data, packed.data(), header.bytes);
  while (!sending_.empty() && sending_.front()->done()) sending_.pop_front();
  sending_.push_back(transport_.send(0, header, payload));
}

std::vector<std::vector<StepReport>> ReportExchange::complete() {
  for (auto& [from, incoming] : incoming_) {
    while (incoming.handle && incoming.handle->done()) {
      take(from);
      post(from);
    }
  }
  return ready();
}

std::vector<std::vector<StepReport>> ReportExchange::complete_through(int64_t last) {
  for (auto& [from, incoming] : incoming_) {
    while (steps_.contains(last) ? !steps_[last].contains(from) : false) {
      take(from);
      post(from);
    }
  }
  return ready();
}

std::vector<std::vector<StepReport>> ReportExchange::ready() {
  std::vector<std::vector<StepReport>> result;
  while (!steps_.empty() && static_cast<int>(steps_.begin()->second.size()) == transport_.size()) {
    std::vector<StepReport> reports;
    for (auto& [rank, report] : steps_.begin()->second) reports.push_back(std::move(report));
    result.push_back(std::move(reports));
    steps_.erase(steps_.begin());
  }
  return result;
}

void ReportExchange::close() {
  if (transport_.rank() != 0) return add({});
  for (auto& [from, incoming] : incoming_) incoming.handle->wait();
  incoming_.clear();
}

void ReportExchange::drain() {
  for (auto& handle : sending_) handle->wait();
  sending_.clear();
}

StepMetrics summarize(const std::vector<StepReport>& reports, const Topology& topology, double learning_rate,
                      double tokens) {
  StepMetrics metrics;
  metrics.step = reports.front().step;
  metrics.learning_rate = learning_rate;
  std::map<int, LossValue> losses;
  double idle = 0, seconds = 0, norm_squared = 0, norm_of_model = -1;
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    const StepReport& report = reports[rank];
    seconds = std::max(seconds, report.seconds);
    idle += report.seconds > 0 ? report.waited / report.seconds : 0.0;
    norm_of_model = std::max(norm_of_model, report.norm_squared_of_model);
    const bool first_replica = static_cast<int>(rank) < topology.shape.ranks;  // gradients are equal on all replicas
    for (const StageReport& stage : report.stages) {
      LossValue& loss = losses[stage.stage];
      loss.sum += stage.loss.sum;
      loss.count += stage.loss.count;
      if (!first_replica) continue;
      const double of_stage =
          stage.body_norm_squared + (stage.stage + 1 == topology.shape.stages ? stage.head_norm_squared : 0.0);
      metrics.gradient_norms[stage.stage] = std::sqrt(of_stage);
      norm_squared += of_stage;
    }
  }
  for (const auto& [stage, loss] : losses)
    if (loss.count > 0) metrics.losses[stage] = loss.sum / static_cast<double>(loss.count);
  const auto last = metrics.losses.find(topology.shape.stages - 1);
  metrics.loss = last == metrics.losses.end() ? 0.0 : last->second;
  metrics.gradient_norm = std::sqrt(norm_of_model >= 0 ? norm_of_model : norm_squared);
  metrics.idle_share = idle / static_cast<double>(reports.size());
  metrics.tokens_per_second = seconds > 0 ? tokens / seconds : 0.0;
  return metrics;
}

}  // namespace interlock
