#include "launch/heartbeat/session.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr size_t longest_host = 255;

// A key for every direction, so that nothing can be sent back to where it came from.
Secret handshake_key(const Secret& secret, Session::Role from) {
  return authentication_code(secret,
                             from == Session::Role::head ? "interlock 1 head greets" : "interlock 1 node greets");
}

Secret session_key(const Secret& secret, Session::Role from, const Secret& of_head, const Secret& of_node) {
  return authentication_code(secret, message(from == Session::Role::head ? "interlock 1 head " : "interlock 1 node ",
                                             text_of(of_head), text_of(of_node)));
}

Session::Role other(Session::Role role) {
  return role == Session::Role::head ? Session::Role::node : Session::Role::head;
}

Secret secret_of(std::string_view text) {
  Secret bytes;
  std::copy_n(text.begin(), bytes.size(), bytes.begin());
  return bytes;
}

}  // namespace

Session::Session(Role role, const Secret& secret, std::string host)
    : role_(role),
      secret_(secret),
      own_nonce_(random_bytes()),
      host_(host.substr(0, longest_host)),
      writer_(handshake_key(secret, role)),
      reader_(handshake_key(secret, other(role))) {
  if (role_ == Role::head) output_ = writer_.seal(FrameKind::hello, text_of(own_nonce_));
}

void Session::join() {
  const Secret& head = role_ == Role::head ? own_nonce_ : other_nonce_;
  const Secret& node = role_ == Role::head ? other_nonce_ : own_nonce_;
  writer_ = FrameWriter(session_key(secret_, role_, head, node));
  reader_.use_key(session_key(secret_, other(role_), head, node));
  joined_ = true;
}

// hello -> join -> welcome; what the other end says must hold the nonce that this end has just made.
bool Session::shake_hands(const Frame& frame) {
  const std::string_view payload = frame.payload;
  const size_t nonce = own_nonce_.size();
  if (role_ == Role::node && frame.kind == FrameKind::hello && !greeted_) {
    if (payload.size() != nonce) return false;
    other_nonce_ = secret_of(payload);
    output_ += writer_.seal(FrameKind::join, message(text_of(other_nonce_), text_of(own_nonce_), host_));
    greeted_ = true;
    return true;
  }
  if (role_ == Role::node && frame.kind == FrameKind::welcome && greeted_) {
    if (payload != message(text_of(other_nonce_), text_of(own_nonce_))) return false;
    join();
    return true;
  }
  if (role_ == Role::head && frame.kind == FrameKind::join) {
    if (payload.size() < 2 * nonce || payload.size() > 2 * nonce + longest_host) return false;
    if (!equal_codes(own_nonce_, payload.substr(0, nonce))) return false;  // of another connection
    other_nonce_ = secret_of(payload.substr(nonce));
    host_ = payload.substr(2 * nonce);
    std::ranges::replace_if(
        host_, [](unsigned char c) { return c <= 0x20 || c >= 0x7f; }, '?');
    output_ += writer_.seal(FrameKind::welcome, message(text_of(own_nonce_), text_of(other_nonce_)));
    join();
    return true;
  }
  return false;
}

bool Session::may_come(FrameKind kind) const {
  if (kind == FrameKind::dump) return true;
  return kind == (role_ == Role::head ? FrameKind::beat : FrameKind::stop);
}

std::vector<Frame> Session::take(std::string_view bytes) {
  reader_.feed(bytes);
  std::vector<Frame> frames;
  while (auto frame = reader_.next()) {
    const bool was_joined = joined_;
    if (was_joined ? !may_come(frame->kind) : !shake_hands(*frame))
      throw ProtocolError("a frame that does not belong here");
    if (was_joined) frames.push_back(std::move(*frame));
  }
  return frames;
}

void Session::say(FrameKind kind, std::string_view payload) { output_ += writer_.seal(kind, payload); }

}  // namespace interlock
