#pragma once
// The one thread of a rank that calls MPI: takes operations from the compute thread, starts them, tests them, and
// sleeps in between. Internal to this room.
//
// On the wire a message is a header with up to `inline_bytes` of payload behind it, then the rest of a larger payload
// in pieces; all under the lane's tag, which MPI keeps in order. A receive posts its header at once and its pieces when
// the header has told how many there are, and only then may the next receive of the lane post its own. So a message of
// another size than expected is received whole, and reported. (Pieces posted early would be truncated, and Open MPI 4.1
// then never completes the send. Nothing is lost: a large piece waits in MPI as a request to send, without its data.)

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "parallel/transport/mpi.h"

namespace interlock {

inline constexpr uint64_t inline_bytes = 4096;  // copying this costs less than a second message

struct MpiOperation {
  enum class Kind { send, receive, receive_any_size };
  Kind kind = Kind::send;
  int peer = 0, tag = 0;
  MessageHeader header;  // as sent, or as expected
  Buffer buffer;         // the payload; a receive of any size makes it when the header has come
  MessageHeader came;

  // The MPI thread's own until `done`.
  std::vector<std::byte> first;  // header and inline payload
  int pending = 0;               // MPI requests not complete
  bool moving = false;           // both ends have posted pieces, which move whenever MPI is called
  std::string problem;           // what wait() throws

  std::atomic<bool> done{false};
};

class MpiThread {
 public:
  explicit MpiThread(const MpiOptions& options);  // returns when MPI has started; throws what kept it from starting
  ~MpiThread();
  MpiThread(const MpiThread&) = delete;

  void submit(std::shared_ptr<MpiOperation> operation);
  bool done(const MpiOperation& operation) const { return operation.done || failed_; }
  void wait(const MpiOperation& operation);
  [[noreturn]] void abort(int exit_code);

  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& description() const { return description_; }

 private:
  using Clock = std::chrono::steady_clock;
  using LaneEnd = std::pair<int, int>;  // peer, tag
  struct Part {                         // what a request carries
    std::shared_ptr<MpiOperation> operation;
    bool is_header;
  };

  void run(std::promise<void> started);
  void start_mpi();
  void finish_mpi();
  bool take_commands();  // false when the thread is to end
  Clock::duration pause() const;
  void start(const std::shared_ptr<MpiOperation>& operation);
  void start_send(const std::shared_ptr<MpiOperation>& operation);
  void start_pieces(const std::shared_ptr<MpiOperation>& operation, uint64_t bytes);
  void start_moving(MpiOperation& operation);
  void add_request(const std::shared_ptr<MpiOperation>& operation, bool is_header, MPI_Request request);
  bool poll();                    // whether anything was complete
  int test_some(int& completed);  // the error; statuses_ has more
  void complete(const Part& part, const MPI_Status& status, int error);
  void header_came(const std::shared_ptr<MpiOperation>& operation, const MPI_Status& status);
  void post_header(const std::shared_ptr<MpiOperation>& operation);
  void post_next(const LaneEnd& lane);
  void finish(MpiOperation& operation);
  void check(int error, const char* call);
  void fail(const std::string& reason);

  const uint64_t piece_bytes_;
  int rank_ = 0, size_ = 1;
  std::string description_;

  // The MPI thread's own.
  MPI_Comm communicator_ = MPI_COMM_NULL;
  std::vector<MPI_Request> requests_;
  std::vector<Part> parts_;  // parts_[i] belongs to requests_[i]
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
  // Receives that wait for their turn; a lane is in the map while a header of it is posted.
  std::map<LaneEnd, std::deque<std::shared_ptr<MpiOperation>>> lanes_;
  Clock::time_point last_progress_;
  int moving_ = 0;  // operations whose pieces move

  // Between the threads.
  std::mutex mutex_;
  std::condition_variable command_, finished_;
  std::deque<std::shared_ptr<MpiOperation>> queue_;
  bool stop_ = false, abandon_ = false, hurry_ = false;
  std::atomic<bool> waiting_{false}, failed_{false};
  int abort_code_ = -1;
  std::string failure_;
  std::thread thread_;
};

}  // namespace interlock
