#include "runtime/faces/resp_parser.hpp"

#include <algorithm>
#include <charconv>

namespace troupe::resp {

namespace {

/// The longest header line that makes sense: a sign and the digits of a 64-bit number.
constexpr std::size_t header_bytes_max = 24;

/// Consumed input is dropped from the front of the buffer in pieces of at least this size.
constexpr std::size_t forget_bytes = std::size_t{64} << 10;

} // namespace

void parser::feed(std::string_view bytes) {
  if (state_ != state::broken) input_.append(bytes);
}

found parser::next(command& out) {
  for (;;)
    if (const auto result = take_step(out)) {
      forget_consumed();
      return *result;
    }
}

parser::step parser::take_step(command& out) {
  switch (state_) {
  case state::command_start:
    return start_command(out);
  case state::word_start:
    return start_word();
  case state::word_bytes:
    return take_word_bytes();
  case state::word_end:
    return take_word_end(out);
  case state::broken:
    break;
  }
  return found::broken;
}

parser::step parser::start_command(command& out) {
  if (at_ == input_.size()) return found::nothing;
  if (input_[at_] != '*') return take_inline(out);
  std::int64_t count = 0;
  const auto line = take_header(count);
  if (line == header::incomplete) return found::nothing;
  if (line == header::malformed || count > static_cast<std::int64_t>(announced_words_max))
    return fail("invalid multibulk length");
  if (count <= 0) return std::nullopt; // an empty array is no command, as in Redis
  words_left_ = static_cast<std::size_t>(count);
  skipping_ = words_left_ > bounds_.words_max;
  state_ = state::word_start;
  return std::nullopt;
}

parser::step parser::take_inline(command& out) {
  const auto end = input_.find('\n', at_);
  const auto length = (end == std::string::npos ? input_.size() : end) - at_;
  if (length > bounds_.inline_bytes_max) return fail("too big inline request");
  if (end == std::string::npos) return found::nothing;
  const auto line = std::string_view{input_}.substr(at_, length);
  constexpr std::string_view blanks = " \t\r";
  for (auto from = line.find_first_not_of(blanks); from != std::string_view::npos;) {
    const auto to = std::min(line.find_first_of(blanks, from), line.size());
    words_.emplace_back(line.substr(from, to - from));
    from = line.find_first_not_of(blanks, to);
  }
  at_ = end + 1;
  if (words_.empty()) return std::nullopt; // an empty line is no command
  skipping_ = words_.size() > bounds_.words_max;
  return finish(out);
}

parser::step parser::start_word() {
  if (at_ == input_.size()) return found::nothing;
  if (input_[at_] != '$') return fail("expected '$'");
  std::int64_t length = 0;
  const auto line = take_header(length);
  if (line == header::incomplete) return found::nothing;
  if (line == header::malformed || length < 0 || length > static_cast<std::int64_t>(announced_bytes_max))
    return fail("invalid bulk length");
  left_ = static_cast<std::size_t>(length);
  if (left_ > bounds_.word_bytes_max || left_ > bounds_.command_bytes_max - words_bytes_) skipping_ = true;
  if (skipping_) {
    words_ = {};
    words_bytes_ = 0;
  } else {
    words_.emplace_back();
  }
  state_ = state::word_bytes;
  return std::nullopt;
}

parser::step parser::take_word_bytes() {
  const auto here = std::min(left_, input_.size() - at_);
  if (!skipping_) {
    words_.back().append(input_, at_, here);
    words_bytes_ += here;
  }
  at_ += here;
  left_ -= here;
  if (left_ > 0) return found::nothing;
  state_ = state::word_end;
  return std::nullopt;
}

parser::step parser::take_word_end(command& out) {
  if (input_.size() - at_ < 2) return found::nothing;
  if (input_.compare(at_, 2, "\r\n") != 0) return fail("a bulk string does not end where its length says");
  at_ += 2;
  state_ = state::word_start;
  if (--words_left_ == 0) return finish(out);
  return std::nullopt;
}

found parser::finish(command& out) {
  const auto result = skipping_ ? found::too_large : found::complete;
  if (!skipping_) out = std::move(words_);
  words_.clear();
  words_bytes_ = 0;
  skipping_ = false;
  state_ = state::command_start;
  forget_consumed();
  return result;
}

found parser::fail(std::string_view why) {
  problem_ = why;
  state_ = state::broken;
  input_ = {};
  at_ = 0;
  words_ = {};
  words_bytes_ = 0;
  return found::broken;
}

parser::header parser::take_header(std::int64_t& number) {
  const auto end = input_.find("\r\n", at_);
  const auto length = (end == std::string::npos ? input_.size() : end) - at_;
  if (length > header_bytes_max) return header::malformed;
  if (end == std::string::npos) return header::incomplete;
  const auto* first = input_.data() + at_ + 1;
  const auto* last = input_.data() + end;
  const auto [stop, error] = std::from_chars(first, last, number);
  if (error != std::errc{} || stop != last) return header::malformed;
  at_ = end + 2;
  return header::complete;
}

void parser::forget_consumed() {
  if (at_ == input_.size()) {
    // A large request must not pin its memory for the life of the connection.
    if (input_.capacity() > forget_bytes)
      input_ = {};
    else
      input_.clear();
    at_ = 0;
  } else if (at_ >= forget_bytes) {
    input_.erase(0, at_);
    at_ = 0;
  }
}

} // namespace troupe::resp
