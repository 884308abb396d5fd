/// The head of an HTTP request: where it ends, and which are refused.
#include "runtime/faces/http_head.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace troupe::http;
using namespace std::string_view_literals;

namespace {

/// The status it is refused with; 0 = it is not.
int refusal(std::string_view fields) {
  const auto head = read_head("PUT /v1/keys/a/b HTTP/1.1\r\n" + std::string{fields} + "\r\n");
  return head ? 0 : head.error();
}

} // namespace

TEST_CASE("http head: it ends with its empty line, wherever the parts it came in were cut") {
  const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /";
  const auto end = bytes.find("\r\n\r\n") + 4;
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    CAPTURE(cut);
    CHECK(find_head_end(std::string_view{bytes}.substr(0, cut), 0).has_value() == (cut >= end));
    if (cut < end) CHECK(find_head_end(bytes, cut) == end);
  }
}

TEST_CASE("http head: one that ends its lines in another way is not waited for, and refused") {
  for (const auto bytes :
       {"GET / HTTP/1.1\n\n"sv, "GET / HTTP/1.1\nHost: a\n\r\n"sv, "GET / HTTP/1.1\r\nHost: a\n\n"sv}) {
    CAPTURE(bytes);
    const auto end = find_head_end(bytes, 0);
    REQUIRE(end);
    CHECK(*end <= bytes.size());
    CHECK(read_head(bytes.substr(0, *end)).error() == 400);
  }
}

TEST_CASE("http head: what httplib must not act upon is left out, in any spelling; the rest stays as it was") {
  const auto head = read_head("GET /v1/keys/a/b HTTP/1.1\r\nHost: a\r\nRange: bytes=0-3\r\nrAnGe: x\r\n"
                              "Content-Type: multipart/form-data\r\nRanges: 1\r\nIf-None-Match: \"1.2\"\r\n\r\n");
  REQUIRE(head);
  CHECK(head->text == "GET /v1/keys/a/b HTTP/1.1\r\nHost: a\r\nRanges: 1\r\nIf-None-Match: \"1.2\"\r\n\r\n");
  CHECK(head->body_size == 0);
  CHECK_FALSE(head->chunked);
}

TEST_CASE("http head: the body's end is known, or the request is refused") {
  CHECK(read_head("PUT / HTTP/1.1\r\nContent-Length: 17 \r\n\r\n")->body_size == 17);
  CHECK(read_head("PUT / HTTP/1.1\r\ntransfer-encoding:CHUNKED\r\n\r\n")->chunked);
  for (const auto size : {"", "-1", "+5", "5,5", "0x5", "%35", "5 5", "99999999999999999999"}) {
    CAPTURE(size);
    CHECK(refusal("Content-Length: " + std::string{size} + "\r\n") == 400);
  }
  CHECK(refusal("Content-Length: 5\r\nContent-Length: 5\r\n") == 400);
  CHECK(refusal("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") == 400);
  CHECK(refusal("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") == 400);
  CHECK(refusal("Transfer-Encoding: gzip, chunked\r\n") == 501);
}

TEST_CASE("http head: a line that two readers could understand differently is refused") {
  CHECK(refusal("Host: a\r\n") == 0);
  for (const auto line : {"Content-Length : 5"sv, " Content-Length: 5"sv, "Content-Length"sv, ": 5"sv, "A: b\nC: d"sv,
                          "A: b\rC: d"sv, "A: b\0"sv, "\x80: 5"sv}) {
    CAPTURE(line);
    CHECK(refusal(std::string{line} + "\r\n") == 400);
  }
}
