#pragma once
// How the ranks' step reports meet on rank 0 without anybody waiting: each rank sends its report and goes on; rank 0
// takes what has come between its own steps, and a step is complete once all ranks have reported it.

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "parallel/engine/engine.h"
#include "runtime/observe/metrics.h"

namespace interlock {

class ReportExchange {
 public:
  ReportExchange(Transport& transport, uint64_t run);
  // Every rank, after each of its steps.
  void add(const StepReport& report);
  // Rank 0: moves in what has come; returns the steps that became complete, ascending, each with the reports by world
  // rank.
  std::vector<std::vector<StepReport>> complete();
  // Rank 0: blocks until step `last` is complete and returns all that became complete.
  std::vector<std::vector<StepReport>> complete_through(int64_t last);
  // Other ranks: waits until rank 0 has taken everything.
  void drain();
  // Every rank, after the last report: what rank 0 still waits for comes, so that the same ranks may begin another
  // exchange.
  void close();

 private:
  struct Incoming {
    MessageHeader header;
    Buffer payload;
    std::unique_ptr<Handle> handle;
  };
  void post(int from);
  void take(int from);
  std::vector<std::vector<StepReport>> ready();

  Transport& transport_;
  uint64_t run_;
  std::map<int, Incoming> incoming_;
  std::deque<std::unique_ptr<Handle>> sending_;
  std::map<int64_t, std::map<int, StepReport>> steps_;
};

// The line of metrics that the reports of one step make. `tokens` is the number of tokens of the whole step.
StepMetrics summarize(const std::vector<StepReport>& reports, const Topology& topology, double learning_rate,
                      double tokens);

}  // namespace interlock
