/// The head of an HTTP request: where it ends, and what it says of the body that follows. Free of sockets.
#pragma once

#include <tl/expected.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

struct request_head {
  std::string text;            ///< request line, fields and the empty line, as httplib is to read them
  std::uint64_t body_size = 0; ///< as Content-Length announces it
  bool chunked = false;        ///< the body ends by itself: `body_size` says nothing
};

/// Where the head that `bytes` begin with ends; nothing = further on.
/// @param seen  so many of the bytes were looked at before, and did not hold its end.
std::optional<std::size_t> find_head_end(std::string_view bytes, std::size_t seen);

/// Reads a whole head strictly: a request whose end two readers could see at different places is refused.
///
/// Leaves out of `text` what httplib must not act upon: Range, which httplib would apply to every answer by itself
/// (a part of a value as 200, or a copy of it for each range), and which a server is free to ignore (RFC 9110 §14.2);
/// and Content-Type, by which it would read forms into parameters instead of handing over their bytes.
/// @errors the status to answer with: 400, or 501 for a transfer coding other than chunked.
tl::expected<request_head, int> read_head(std::string_view head);

} // namespace troupe::http
