// Shards of equal size that lie one behind the other are one call of NCCL; others are a call each, grouped.
#include "parallel/transport/nccl/collectives.h"

#include <cassert>

#include "parallel/transport/group.h"
#include "parallel/transport/nccl/link.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

class NcclCollective final : public Collective {
 public:
  NcclCollective(NcclWatch& watch, std::shared_ptr<NcclOperation> operation)
      : watch_(watch), operation_(std::move(operation)) {}
  bool advance() override {
    if (operation_ == nullptr || watch_.done(*operation_)) watch_.check();
    return operation_ == nullptr || watch_.done(*operation_);
  }
  void finish() override {
    if (operation_) watch_.wait(*operation_);
  }
  void join() override {
    if (operation_) watch_.order_compute(*operation_);
  }

 private:
  NcclWatch& watch_;
  std::shared_ptr<NcclOperation> operation_;  // null: there was nothing to do
};

class NcclCollectives final : public Collectives {
 public:
  NcclCollectives(NcclWatch& watch, const std::vector<int>& members, int position, const NcclId& id)
      : watch_(watch),
        calls_(watch.calls()),
        size_(static_cast<int>(members.size())),
        position_(position),
        link_(watch, "collectives of " + ranks_text(members), members, position, id, collective_blocks) {}
  int position() const override { return position_; }
  int size() const override { return size_; }

  std::unique_ptr<Collective> begin_all_reduce(std::span<float> values, std::shared_ptr<void> keep_alive) override {
    return all_reduce_of(values, NcclType::float32, std::move(keep_alive));
  }
  std::unique_ptr<Collective> begin_all_reduce(std::span<double> values, std::shared_ptr<void> keep_alive) override {
    return all_reduce_of(values, NcclType::float64, std::move(keep_alive));
  }
  std::unique_ptr<Collective> begin_reduce_scatter(std::span<float> values, std::span<const Range> shards,
                                                   std::shared_ptr<void> keep_alive) override {
    return reduce_scatter_of(values, NcclType::float32, shards, std::move(keep_alive));
  }
  std::unique_ptr<Collective> begin_reduce_scatter(std::span<double> values, std::span<const Range> shards,
                                                   std::shared_ptr<void> keep_alive) override {
    return reduce_scatter_of(values, NcclType::float64, shards, std::move(keep_alive));
  }

  std::unique_ptr<Collective> begin_all_gather(std::span<const Shard> shards,
                                               std::shared_ptr<void> keep_alive) override {
    size_t bytes = 0;
    bool equal = static_cast<int>(shards.size()) == size_;
    for (size_t i = 0; i < shards.size(); ++i) {
      assert(shards[i].owner >= 0 && shards[i].owner < size_);
      bytes += shards[i].bytes.size();
      equal = equal && shards[i].owner == static_cast<int>(i) && shards[i].bytes.size() == shards[0].bytes.size() &&
              shards[i].bytes.data() == shards[0].bytes.data() + i * shards[0].bytes.size();
    }
    if (bytes == 0) return nothing();
    return put(message("an all-gather of ", bytes, " bytes"), std::move(keep_alive), [&, equal] {
      if (equal)
        return calls_.all_gather(shards[0].bytes.data(), shards[0].bytes.size(), position_, link_.communicator(),
                                 link_.stream());
      return grouped(shards, [&](const Shard& shard) {
        if (shard.bytes.empty()) return nccl_success;
        return calls_.broadcast(shard.bytes.data(), shard.bytes.size(), shard.owner, link_.communicator(),
                                link_.stream());
      });
    });
  }

 private:
  std::unique_ptr<Collective> nothing() { return std::make_unique<NcclCollective>(watch_, nullptr); }

  template <class Call>
  std::unique_ptr<Collective> put(const std::string& what, std::shared_ptr<void> keep_alive, Call call) {
    auto operation = link_.put(message(what, ", number ", ++begun_, " of the ", link_.name()), {std::move(keep_alive)},
                               std::function<int()>(call));
    return std::make_unique<NcclCollective>(watch_, std::move(operation));
  }

  template <class Parts, class Call>
  int grouped(const Parts& parts, Call call) {
    int result = calls_.begin_group();
    for (const auto& part : parts) {
      const int of_part = call(part);
      if (of_part != nccl_success && of_part != nccl_in_progress) result = of_part;
    }
    const int end = calls_.end_group();
    return result == nccl_success ? end : result;
  }

  template <class T>
  std::unique_ptr<Collective> all_reduce_of(std::span<T> values, NcclType type, std::shared_ptr<void> keep_alive) {
    if (values.empty() || size_ == 1) return nothing();
    return put(message("a sum of ", values.size_bytes(), " bytes"), std::move(keep_alive), [&, type] {
      return calls_.all_reduce(values.data(), values.size(), type, link_.communicator(), link_.stream());
    });
  }

  template <class T>
  std::unique_ptr<Collective> reduce_scatter_of(std::span<T> values, NcclType type, std::span<const Range> shards,
                                                std::shared_ptr<void> keep_alive) {
    size_t count = 0;
    bool equal = static_cast<int>(shards.size()) == size_;
    for (size_t i = 0; i < shards.size(); ++i) {
      const auto& [begin, end, owner] = shards[i];
      assert(begin <= end && end <= values.size() && owner >= 0 && owner < size_);
      count += end - begin;
      equal = equal && owner == static_cast<int>(i) && end - begin == shards[0].end - shards[0].begin &&
              begin == shards[0].begin + i * (end - begin);
    }
    if (count == 0 || size_ == 1) return nothing();
    return put(message("a reduce-scatter of ", count * sizeof(T), " bytes"), std::move(keep_alive), [&, equal, type] {
      if (equal)
        return calls_.reduce_scatter(values.data() + shards[0].begin, shards[0].end - shards[0].begin, type, position_,
                                     link_.communicator(), link_.stream());
      return grouped(shards, [&](const Range& range) {
        if (range.begin == range.end) return nccl_success;
        return calls_.reduce(values.data() + range.begin, range.end - range.begin, type, range.owner,
                             link_.communicator(), link_.stream());
      });
    });
  }

  NcclWatch& watch_;
  NcclCalls& calls_;
  const int size_, position_;
  NcclLink link_;
  int64_t begun_ = 0;
};

}  // namespace

std::unique_ptr<Collectives> make_nccl_collectives(Transport& transport, NcclWatch& watch,
                                                   const std::vector<int>& members, int number, uint64_t run) {
  Group control(transport, members, number, run);
  NcclId id;
  if (control.position() == 0) {
    const int result = watch.calls().make_id(id);
    if (result != nccl_success)
      throw Error(ExitCode::gave_up, message("NCCL gives no id for a communicator: ", watch.calls().describe(result)));
  }
  control.broadcast(std::as_writable_bytes(std::span(id.bytes)), 0);
  return std::make_unique<NcclCollectives>(watch, members, control.position(), id);
}

}  // namespace interlock
