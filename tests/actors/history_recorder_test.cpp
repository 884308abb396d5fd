/// The recorder of histories: what it writes can be read by the checkers, and it never grows without bound.
#include "runtime/history_recorder.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

using namespace troupe;

namespace {

struct temporary_file {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "troupe-recorder-test.jsonl";
  temporary_file() { std::filesystem::remove(path); }
  ~temporary_file() { std::filesystem::remove(path); }
  std::string text() const {
    std::ifstream in{path};
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
};

check::operation a_put(std::string client, std::int64_t at) {
  check::operation line;
  line.client = std::move(client);
  line.kind = check::op_kind::put;
  line.key = "inventory:1";
  line.value = "v" + std::to_string(at);
  line.call = at;
  line.returned = at + 1;
  return line;
}

} // namespace

TEST_CASE("recorder: what it writes is a history that the checkers read") {
  const temporary_file file;
  auto recorder = history_recorder::open(file.path, {});
  REQUIRE(recorder);
  for (std::int64_t i = 0; i < 1000; ++i) {
    REQUIRE((*recorder)->begin() == errc::none);
    (*recorder)->end(a_put("\"a.1\"", 10 * i));
  }
  CHECK((*recorder)->close());
  std::istringstream in{file.text()};
  const auto history = check::read_history(in);
  REQUIRE(history);
  CHECK(history->operations.size() == 1000);
  CHECK(history->operations[999].value == "v9990");
}

TEST_CASE("recorder: it goes on behind the last complete line of its file") {
  const temporary_file file;
  std::ofstream{file.path} << "# one\n{\"client\":\"x";
  auto recorder = history_recorder::open(file.path, {});
  REQUIRE(recorder);
  REQUIRE((*recorder)->begin() == errc::none);
  (*recorder)->end(a_put("\"a.1\"", 1));
  CHECK((*recorder)->close());
  CHECK(file.text().rfind("# one\n{\"client\":\"a.1\"", 0) == 0);
}

TEST_CASE("recorder: too many operations at once are refused, not kept") {
  const temporary_file file;
  auto recorder = history_recorder::open(file.path, {.operations_max = 2, .bytes_max = 1000});
  REQUIRE(recorder);
  CHECK((*recorder)->begin() == errc::none);
  CHECK((*recorder)->begin() == errc::none);
  CHECK((*recorder)->begin() == errc::overloaded);
  (*recorder)->end(a_put("\"a.1\"", 1));
  (*recorder)->end(a_put("\"a.2\"", 1));
  CHECK((*recorder)->close());
}

TEST_CASE("recorder: a history that lacks operations says so") {
  const temporary_file file;
  auto recorder = history_recorder::open(file.path, {});
  REQUIRE(recorder);
  CHECK((*recorder)->begin() == errc::none);
  const auto closed = (*recorder)->close();
  REQUIRE_FALSE(closed);
  CHECK(closed.error().find("is incomplete") != std::string::npos);
  CHECK((*recorder)->begin() == errc::storage_failed);
}

TEST_CASE("recorder: a disk that is full is reported, and nothing is begun any more") {
  auto recorder = history_recorder::open("/dev/full", {});
  REQUIRE(recorder);
  REQUIRE((*recorder)->begin() == errc::none);
  (*recorder)->end(a_put("\"a.1\"", 1));
  CHECK_FALSE((*recorder)->close());
}

TEST_CASE("recorder: a file that cannot be opened is an error that names it") {
  const auto recorder = history_recorder::open("/nowhere/h.jsonl", {});
  REQUIRE_FALSE(recorder);
  CHECK(recorder.error().find("/nowhere/h.jsonl") != std::string::npos);
}

TEST_CASE("recorder: any bytes become text, and different bytes different text") {
  CHECK(history_text("plain") == "plain");
  CHECK(history_text("gr\xC3\xBC\xC3\x9F") == "gr\xC3\xBC\xC3\x9F");
  CHECK(history_text("\xFF") == "hex:ff");
  CHECK(history_text("\xC0\x80") == "hex:c080");
  CHECK(history_text("\xED\xA0\x80") == "hex:eda080");
  CHECK(history_text("\xF4\x90\x80\x80") == "hex:f4908080");
  CHECK(history_text("\xE2\x82") == "hex:e282");
  CHECK(history_text("hex:ff") == "hex:6865783a6666");
}

TEST_CASE("recorder: a client id is used by one call at a time, and by none after an unknown") {
  history_clients clients{0xabc};
  const auto first = clients.take();
  CHECK(clients.name_of(first) == "\"abc.1\"");
  const auto second = clients.take();
  CHECK(second != first);
  clients.give_back(first);
  CHECK(clients.take() == first);
}
