// How the MPI thread turns operations into requests, and completed requests into messages.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "parallel/transport/delivery.h"
#include "parallel/transport/mpi_thread.h"

namespace interlock {

static_assert(std::is_trivially_copyable_v<MessageHeader>, "headers travel as bytes between equal machines");

void MpiThread::start(const std::shared_ptr<MpiOperation>& operation) {
  if (operation->kind == MpiOperation::Kind::send) {
    start_send(operation);
    return;
  }
  const auto [lane, is_first] = lanes_.try_emplace({operation->peer, operation->tag});
  if (is_first) {
    post_header(operation);
  } else {
    lane->second.push_back(operation);
  }
}

// All is synchronous. A small message tells so that its receive was posted; of a larger one its pieces do, and the
// header tells that they will be asked for now.
void MpiThread::start_send(const std::shared_ptr<MpiOperation>& operation) {
  const MessageHeader& header = operation->header;
  const uint64_t with_header = header.bytes <= inline_bytes ? header.bytes : 0;
  operation->first.resize(sizeof(MessageHeader) + with_header);
  std::memcpy(operation->first.data(), &header, sizeof header);
  if (with_header) std::memcpy(operation->first.data() + sizeof header, operation->buffer.data, with_header);
  MPI_Request request = MPI_REQUEST_NULL;
  const int count = static_cast<int>(operation->first.size());
  check(MPI_Issend(operation->first.data(), count, MPI_BYTE, operation->peer, operation->tag, communicator_, &request),
        "MPI_Issend");
  add_request(operation, true, request);
  if (header.bytes > inline_bytes) start_pieces(operation, header.bytes);
}

void MpiThread::post_header(const std::shared_ptr<MpiOperation>& operation) {
  operation->first.resize(sizeof(MessageHeader) + inline_bytes);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Irecv(operation->first.data(), static_cast<int>(operation->first.size()), MPI_BYTE, operation->peer,
                  operation->tag, communicator_, &request),
        "MPI_Irecv");
  add_request(operation, true, request);
}

void MpiThread::post_next(const LaneEnd& lane) {
  const auto waiting = lanes_.find(lane);
  if (waiting->second.empty()) {
    lanes_.erase(waiting);
    return;
  }
  const auto next = std::move(waiting->second.front());
  waiting->second.pop_front();
  post_header(next);
}

void MpiThread::start_pieces(const std::shared_ptr<MpiOperation>& operation, uint64_t bytes) {
  const bool is_send = operation->kind == MpiOperation::Kind::send;
  for (uint64_t begin = 0; begin < bytes; begin += piece_bytes_) {
    std::byte* data = operation->buffer.data + begin;
    const int count = static_cast<int>(std::min(piece_bytes_, bytes - begin));
    MPI_Request request = MPI_REQUEST_NULL;
    check(is_send ? MPI_Issend(data, count, MPI_BYTE, operation->peer, operation->tag, communicator_, &request)
                  : MPI_Irecv(data, count, MPI_BYTE, operation->peer, operation->tag, communicator_, &request),
          is_send ? "MPI_Issend" : "MPI_Irecv");
    add_request(operation, false, request);
  }
}

void MpiThread::start_moving(MpiOperation& operation) {
  operation.moving = true;
  ++moving_;
}

void MpiThread::add_request(const std::shared_ptr<MpiOperation>& operation, bool is_header, MPI_Request request) {
  ++operation->pending;
  requests_.push_back(request);
  parts_.push_back({operation, is_header});
  last_progress_ = Clock::now();
}

// Open MPI looks at the requests first and then makes progress, of which only the next call tells: with one call a
// message would be noticed a pause late.
int MpiThread::test_some(int& completed) {
  int error = MPI_SUCCESS;
  for (int call = 0; call < 2 && completed == 0; ++call) {
    error = MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &completed, indices_.data(),
                         statuses_.data());
    if (error != MPI_ERR_IN_STATUS) check(error, "MPI_Testsome");
  }
  return error;
}

bool MpiThread::poll() {
  if (requests_.empty()) return false;
  indices_.resize(requests_.size());
  statuses_.resize(requests_.size());
  int completed = 0;
  const int error = test_some(completed);
  if (completed <= 0) return false;  // none, or MPI_UNDEFINED
  last_progress_ = Clock::now();
  std::vector<Part> came;
  for (int i = 0; i < completed; ++i) came.push_back(std::move(parts_[indices_[i]]));
  size_t kept = 0;
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    if (kept != i) {
      requests_[kept] = requests_[i];
      parts_[kept] = std::move(parts_[i]);
    }
    ++kept;
  }
  requests_.resize(kept);
  parts_.resize(kept);
  for (size_t i = 0; i < came.size(); ++i) {
    const MPI_Status& status = statuses_[i];
    complete(came[i], status, error == MPI_ERR_IN_STATUS ? status.MPI_ERROR : MPI_SUCCESS);
  }
  return true;
}

void MpiThread::complete(const Part& part, const MPI_Status& status, int error) {
  const auto& operation = part.operation;
  const bool receives = operation->kind != MpiOperation::Kind::send;
  check(error, receives ? "a receive" : "a send");
  --operation->pending;
  int cancelled = 0;
  if (receives) MPI_Test_cancelled(&status, &cancelled);
  if (part.is_header && !receives && operation->pending > 0) start_moving(*operation);
  if (part.is_header && receives && !cancelled) header_came(operation, status);
  if (operation->pending == 0 && !operation->done) finish(*operation);
}

void MpiThread::header_came(const std::shared_ptr<MpiOperation>& operation, const MPI_Status& status) {
  int count = 0;
  MPI_Get_count(&status, MPI_BYTE, &count);
  if (count < static_cast<int>(sizeof(MessageHeader))) {
    throw Error(ExitCode::gave_up, message("rank ", rank_, " received ", count, " bytes from rank ", operation->peer,
                                           " where a message header was expected: ", describe(operation->header)));
  }
  std::memcpy(&operation->came, operation->first.data(), sizeof(MessageHeader));
  const MessageHeader& came = operation->came;
  const bool any_size = operation->kind == MpiOperation::Kind::receive_any_size;
  if (!is_expected(came, operation->header, any_size)) {
    operation->problem = mismatch_text(rank_, operation->peer, came, operation->header);
  }
  if (any_size || !operation->problem.empty()) operation->buffer = Buffer::allocate(came.bytes);
  if (came.bytes > inline_bytes) {
    start_pieces(operation, came.bytes);
    start_moving(*operation);
  } else if (came.bytes > 0) {
    std::memcpy(operation->buffer.data, operation->first.data() + sizeof(MessageHeader), came.bytes);
  }
  post_next({operation->peer, operation->tag});
}

}  // namespace interlock
