/// Nothing is acknowledged before the disk has said so, and nothing after it has said no. This executable's fdatasync
/// stands in front of the C library's, for RocksDB too.
#include "tests/layers/store_fixture.hpp"

#include <sys/syscall.h>

#include <cerrno>

using namespace troupe;
using namespace troupe::testing;

namespace {

std::atomic<std::uint64_t> log_syncs_returned = 0;
std::atomic<bool> log_syncs_fail = false;

bool is_log(int file) {
  std::error_code failed;
  const auto name = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(file), failed);
  return !failed && name.extension() == ".log";
}

} // namespace

extern "C" int fdatasync(int file) {
  const bool log = is_log(file);
  if (log && log_syncs_fail) {
    errno = EIO;
    return -1;
  }
  const auto result = static_cast<int>(::syscall(SYS_fdatasync, file));
  if (log && result == 0) ++log_syncs_returned;
  return result;
}

TEST_CASE("store: a write is answered after its sync has returned") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const auto before_open = log_syncs_returned.load();
  const auto store = must_open(options);
  CHECK(log_syncs_returned > before_open); // the incarnation
  for (int i = 0; i < 50; ++i) {
    const auto before = log_syncs_returned.load();
    std::promise<std::uint64_t> returned;
    store->persist({a_record(1, std::to_string(i), "v")}, [&](errc) { returned.set_value(log_syncs_returned); });
    CHECK(must_get(returned.get_future()) == before + 1);
  }
  const auto before = log_syncs_returned.load();
  std::promise<std::uint64_t> returned;
  store->remember_disk({2}, 9, [&](errc) { returned.set_value(log_syncs_returned); });
  CHECK(must_get(returned.get_future()) == before + 1);
}

TEST_CASE(
    "store: after a failed sync everything is refused, and what was acknowledged before is there at the next start") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  auto store = must_open(options);
  CHECK(persist(*store, {a_record(1, "before", "v"), a_promise(1, 5)}) == errc::none);

  log_syncs_fail = true;
  CHECK(persist(*store, {a_record(1, "during", "v"), a_promise(1, 6)}) == errc::storage_failed);
  log_syncs_fail = false; // too late: the store does not trust what came between
  CHECK(persist(*store, {a_record(1, "after", "v")}) == errc::storage_failed);
  CHECK(persist(*store, {}) == errc::storage_failed);
  std::promise<errc> remembered;
  store->remember_disk({2}, 9, [&](errc code) { remembered.set_value(code); });
  CHECK(must_get(remembered.get_future()) == errc::storage_failed);
  CHECK(std::holds_alternative<damaged>(load_one(*store, 1, "before")));
  CHECK(std::holds_alternative<damaged>(load_one(*store, 1, "never written")));
  CHECK(store->count().records_written == 2);

  store.reset();
  store = must_open(options);
  CHECK(bytes_of(load_one(*store, 1, "before")) == "v");
  CHECK(store->promises().at({1}).promised().round() >= 5); // the unanswered one may be there
  CHECK(std::holds_alternative<std::monostate>(load_one(*store, 1, "after")));
  CHECK(store->identity().peers_size() == 0);
}

TEST_CASE("store refused: its incarnation cannot be synced") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  log_syncs_fail = true;
  CHECK(refusal_of(options) == doctest::Contains("cannot be used"));
  log_syncs_fail = false;
  CHECK(must_open(options)->identity().incarnation() >= 1);
}
