/// Turns the bytes of one Redis connection into commands. Pure: no socket, no clock, no actor.
///
/// Speaks what clients send: arrays of bulk strings (`*2\r\n$3\r\nGET\r\n$5\r\nt:key\r\n`) and inline commands
/// (`PING\r\n`, words separated by blanks, no quoting). Memory follows the bytes that have arrived, never the lengths
/// that they announce.
#pragma once

#include "protocol/limits.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::resp {

/// The words of one command, the name first. Never empty when handed out.
using command = std::vector<std::string>;

struct parser_limits {
  std::size_t words_max = 1'024;                                                     ///< of one command
  std::size_t word_bytes_max = limits::value_bytes_max;                              ///< of one word
  std::size_t command_bytes_max = limits::value_bytes_max + (std::size_t{64} << 10); ///< of all words of a command
  std::size_t inline_bytes_max = std::size_t{16} << 10;                              ///< of an inline command's line
};

/// Above these a stream is not a client's with too large a request, but nonsense.
inline constexpr std::size_t announced_words_max = std::size_t{1} << 20;
inline constexpr std::size_t announced_bytes_max = std::size_t{512} << 20;

/// What next() found.
enum class found : std::uint8_t {
  nothing,   ///< no complete command yet; feed more
  complete,  ///< a complete command
  too_large, ///< a complete command above the limits; its words were skipped, the stream goes on behind it
  broken,    ///< not RESP; problem() says why. Final: the connection can only be closed
};

/// One connection's input. Invariant: held_bytes() <= what was fed and not handed out, whatever lengths were
/// announced.
class parser {
public:
  explicit parser(parser_limits bounds = {}) : bounds_(bounds) {}

  /// Takes over what arrived. Ignored once the stream is broken.
  void feed(std::string_view bytes);

  /// Hands out the next complete command, in stream order.
  /// @param out  assigned only when the answer is found::complete.
  found next(command& out);

  /// Why the stream is broken; empty before.
  std::string_view problem() const { return problem_; }

  /// Bytes kept: input not yet looked at, and the words of the command under way.
  std::size_t held_bytes() const { return input_.size() - at_ + words_bytes_; }

private:
  /// Where in the stream the next byte stands.
  enum class state : std::uint8_t {
    command_start, ///< at '*' of an array, or at the first byte of an inline command
    word_start,    ///< at '$' of the next word
    word_bytes,    ///< inside a word; `left_` bytes to come
    word_end,      ///< at the CR LF behind a word
    broken,
  };

  /// One step over the input. No value = go on with the next step.
  using step = std::optional<found>;
  step take_step(command& out);
  step start_command(command& out);
  step take_inline(command& out);
  step start_word();
  step take_word_bytes();
  step take_word_end(command& out);
  found finish(command& out);
  found fail(std::string_view why);

  /// Takes a header line ("*3", "$12") and its number.
  enum class header : std::uint8_t { complete, incomplete, malformed };
  header take_header(std::int64_t& number);
  void forget_consumed();

  parser_limits bounds_;
  state state_ = state::command_start;
  std::string input_; ///< fed, not yet consumed from `at_` on
  std::size_t at_ = 0;
  command words_;               ///< of the command under way
  std::size_t words_bytes_ = 0; ///< their sum
  std::size_t words_left_ = 0;  ///< of the array under way
  std::size_t left_ = 0;        ///< bytes to come of the word under way
  bool skipping_ = false;       ///< the command under way is above the limits
  std::string problem_;
};

} // namespace troupe::resp
