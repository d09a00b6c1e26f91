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
  const auto held = held_.find({operation->peer, operation->tag});
  if (held != held_.end()) {
    held->second.push_back(operation);
  } else {
    start_receive(operation);
  }
}

// What tells that the receive was posted is synchronous: the message itself when it is small, its pieces otherwise.
void MpiThread::start_send(const std::shared_ptr<MpiOperation>& operation) {
  const MessageHeader& header = operation->header;
  const uint64_t with_header = header.bytes <= inline_bytes ? header.bytes : 0;
  operation->first.resize(sizeof(MessageHeader) + with_header);
  std::memcpy(operation->first.data(), &header, sizeof header);
  if (with_header) std::memcpy(operation->first.data() + sizeof header, operation->buffer.data, with_header);
  MPI_Request request = MPI_REQUEST_NULL;
  const int count = static_cast<int>(operation->first.size());
  const auto call = header.bytes <= inline_bytes ? MPI_Issend : MPI_Isend;
  check(call(operation->first.data(), count, MPI_BYTE, operation->peer, operation->tag, communicator_, &request),
        "MPI_Issend");
  add_request(operation, true, request);
  if (header.bytes > inline_bytes) start_pieces(operation, header.bytes);
}

void MpiThread::start_receive(const std::shared_ptr<MpiOperation>& operation) {
  operation->first.resize(sizeof(MessageHeader) + inline_bytes);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Irecv(operation->first.data(), static_cast<int>(operation->first.size()), MPI_BYTE, operation->peer,
                  operation->tag, communicator_, &request),
        "MPI_Irecv");
  add_request(operation, true, request);
  if (operation->kind == MpiOperation::Kind::receive_any_size) {
    held_.try_emplace({operation->peer, operation->tag});
  } else if (operation->header.bytes > inline_bytes) {
    start_pieces(operation, operation->header.bytes);
  }
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

void MpiThread::add_request(const std::shared_ptr<MpiOperation>& operation, bool is_first, MPI_Request request) {
  ++operation->pending;
  requests_.push_back(request);
  parts_.push_back({operation, is_first});
  last_progress_ = Clock::now();
}

void MpiThread::poll() {
  if (requests_.empty()) return;
  const int active = static_cast<int>(requests_.size());
  indices_.resize(requests_.size());
  statuses_.resize(requests_.size());
  int completed = 0;
  const int error = MPI_Testsome(active, requests_.data(), &completed, indices_.data(), statuses_.data());
  if (error != MPI_ERR_IN_STATUS) check(error, "MPI_Testsome");
  if (completed <= 0) return;  // none, or MPI_UNDEFINED
  last_progress_ = Clock::now();
  // In the order they were started: a header is looked at before its pieces, and a message before the next in its lane.
  std::vector<std::pair<int, int>> order;
  for (int i = 0; i < completed; ++i) order.emplace_back(indices_[i], i);
  std::sort(order.begin(), order.end());
  std::vector<Part> came;
  for (const auto& [index, i] : order) came.push_back(std::move(parts_[index]));
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
    const MPI_Status& status = statuses_[order[i].second];
    complete(came[i], status, error == MPI_ERR_IN_STATUS ? status.MPI_ERROR : MPI_SUCCESS);
  }
}

void MpiThread::complete(const Part& part, const MPI_Status& status, int error) {
  const auto& operation = part.operation;
  --operation->pending;
  int error_class = MPI_SUCCESS;
  if (error != MPI_SUCCESS) MPI_Error_class(error, &error_class);
  const bool receives = operation->kind != MpiOperation::Kind::send;
  // A payload longer than expected is a mismatch, and the header, which came before it, has said so.
  if (error != MPI_SUCCESS && !(receives && error_class == MPI_ERR_TRUNCATE)) {
    check(error, receives ? "a receive" : "a send");
  }
  int cancelled = 0;
  if (receives) MPI_Test_cancelled(&status, &cancelled);
  if (part.is_first && receives && !cancelled) first_came(operation, status);
  if (error_class == MPI_ERR_TRUNCATE && operation->problem.empty()) {
    operation->problem = mismatch_text(rank_, operation->peer, operation->came, operation->header);
  }
  if (operation->done) return;
  if (operation->pending == 0 || !operation->problem.empty()) finish(*operation);
}

void MpiThread::first_came(const std::shared_ptr<MpiOperation>& operation, const MPI_Status& status) {
  int count = 0;
  MPI_Get_count(&status, MPI_BYTE, &count);
  const bool any_size = operation->kind == MpiOperation::Kind::receive_any_size;
  if (count < static_cast<int>(sizeof(MessageHeader))) {
    operation->problem = message("rank ", rank_, " received ", count, " bytes from rank ", operation->peer,
                                 " where a message header was expected: ", describe(operation->header));
    return;
  }
  std::memcpy(&operation->came, operation->first.data(), sizeof(MessageHeader));
  const MessageHeader& came = operation->came;
  if (!is_expected(came, operation->header, any_size)) {
    operation->problem = mismatch_text(rank_, operation->peer, came, operation->header);
    return;
  }
  if (any_size) {
    operation->buffer = Buffer::allocate(came.bytes);
    if (came.bytes > inline_bytes) start_pieces(operation, came.bytes);
    open_lane({operation->peer, operation->tag});
  }
  if (came.bytes > 0 && came.bytes <= inline_bytes) {
    std::memcpy(operation->buffer.data, operation->first.data() + sizeof(MessageHeader), came.bytes);
  }
}

// The size is known and its pieces are posted: what was held behind it may follow, up to the next of unknown size.
void MpiThread::open_lane(const LaneEnd& lane) {
  auto waiting = std::move(held_.at(lane));
  held_.erase(lane);
  while (!waiting.empty()) {
    const auto operation = waiting.front();
    waiting.pop_front();
    start(operation);
    if (operation->kind == MpiOperation::Kind::receive_any_size && !waiting.empty()) {
      held_.at(lane) = std::move(waiting);
      return;
    }
  }
}

}  // namespace interlock
