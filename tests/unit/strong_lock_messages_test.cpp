// What a message about read locks must be before anything of it is used.
#include "protocol/limits.hpp"
#include "protocol/strong/lock_messages.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace troupe;

namespace {

constexpr node_id home{1}, other{2};
const version first{.era = {1, home, {1}}, .counter = 1};

v1::Copy copy(const std::string& value) {
  v1::Copy c;
  to_wire(first, *c.mutable_version());
  c.set_exists(true);
  c.set_value(value);
  return c;
}
template <class Message> Message of_generation(std::uint64_t number = 1) {
  Message m;
  to_wire(lease_generation{.era = first.era, .n = number}, *m.mutable_generation());
  return m;
}
template <class Message> Message about(const std::string& key, const v1::Copy& what) {
  auto m = of_generation<Message>();
  m.set_key(key);
  *m.mutable_copy() = what;
  return m;
}
const std::string long_key(limits::key_bytes_max + 1, 'k');

} // namespace

TEST_CASE("lock messages: only the node that an epoch names speaks for it") {
  CHECK(flaw_of(home, of_generation<v1::LeaseGranted>()) == "");
  CHECK(flaw_of(other, of_generation<v1::LeaseGranted>()) == "not_of_its_sender");
  CHECK(flaw_of(other, about<v1::LockGranted>("k", copy("a"))) == "not_of_its_sender");
  CHECK(flaw_of(other, about<v1::LargeCopy>("k", copy("a"))) == "not_of_its_sender");
  CHECK(flaw_of(other, about<v1::Recall>("k", copy("a"))) == "not_of_its_sender");
  CHECK(flaw_of(other, of_generation<v1::Recall>()) == "not_of_its_sender");
}

TEST_CASE("lock messages: a generation has a number") {
  CHECK(flaw_of(home, of_generation<v1::LeaseGranted>(0)) == "no_generation");
  CHECK(flaw_of(of_generation<v1::LockRelease>(0)) == "no_generation");
  CHECK(flaw_of(of_generation<v1::GivenBack>(0)) == "no_generation");
  CHECK(flaw_of(of_generation<v1::GivenBack>()) == "");
  CHECK(flaw_of(of_generation<v1::HeldLease>(0)) == "no_generation");
  CHECK(flaw_of(of_generation<v1::Recalled>(0)) == "no_generation");
  CHECK(flaw_of(v1::LockRequest{}) == "no_number");
}

TEST_CASE("lock messages: a key is there and not too long; none at all stands for the whole lease") {
  CHECK(flaw_of(home, about<v1::LockGranted>("", copy("a"))) == "no_key");
  CHECK(flaw_of(home, about<v1::LockGranted>(long_key, copy("a"))) == "key_too_long");
  CHECK(flaw_of(home, about<v1::LargeCopy>("", copy("a"))) == "no_key");
  CHECK(flaw_of(home, about<v1::Recall>(long_key, copy("a"))) == "key_too_long");
  CHECK(flaw_of(home, of_generation<v1::Recall>()) == "");
  auto release = of_generation<v1::LockRelease>();
  CHECK(flaw_of(release) == "");
  release.set_key(long_key);
  CHECK(flaw_of(release) == "key_too_long");
  auto recalled = of_generation<v1::Recalled>();
  CHECK(flaw_of(recalled) == "");
  recalled.set_key(long_key);
  CHECK(flaw_of(recalled) == "key_too_long");
}

TEST_CASE("lock messages: a value belongs to a version of a key that exists, and is not too large") {
  auto flaw = [](const v1::Copy& c) { return flaw_of(home, about<v1::LockGranted>("k", c)); };
  CHECK(flaw(copy("a")) == "");
  CHECK(flaw(v1::Copy{}) == ""); // never written
  auto c = copy("a");
  c.clear_version();
  CHECK(flaw(c) == "value_without_version");
  c = copy("a");
  c.set_exists(false);
  CHECK(flaw(c) == "value_of_nothing");
  c = copy("a");
  c.set_withheld(true);
  CHECK(flaw(c) == "value_of_nothing");
  CHECK(flaw(copy(std::string(limits::value_bytes_max + 1, 'v'))) == "value_too_large");
}

TEST_CASE("lock messages: what is promised to be there is not withheld, and what is recalled has a version") {
  auto c = copy("");
  c.set_withheld(true);
  CHECK(flaw_of(home, about<v1::LockGranted>("k", c)) == "");
  CHECK(flaw_of(home, about<v1::Recall>("k", c)) == "");
  CHECK(flaw_of(home, about<v1::LargeCopy>("k", c)) == "value_withheld");
  v1::LockRefused refused;
  CHECK(flaw_of(refused) == "");
  *refused.mutable_copy() = c;
  CHECK(flaw_of(refused) == "value_withheld");
  CHECK(flaw_of(home, about<v1::Recall>("k", v1::Copy{})) == "no_version");
  auto committed = of_generation<v1::Committed>();
  committed.set_key("k");
  CHECK(flaw_of(home, committed) == "no_version");
  to_wire(first, *committed.mutable_version());
  CHECK(flaw_of(home, committed) == "");
}
