/// A home that leads, for tests of named locks: their operations, and the steps that every test of them repeats.
#pragma once

#include "protocol/strong/named_lock.hpp"
#include "tests/support/strong_home_script.hpp"

namespace troupe::script {

inline const std::string lock_key = "t:lock";
inline const std::string floor_of_lock = floor_key(lock_key, shard);

/// What an acquire is asked for; the defaults are an exclusive lock for a second that protects "t:a".
struct wish {
  std::string owner;
  bool shared = false;
  std::uint64_t duration_ms = 1000;
  bool wait = true;
  std::vector<std::string> protects{"t:a"};
  nanoseconds budget = 10s;
};

inline v1::Operation acquire(std::uint64_t number, const wish& w, const std::string& key = lock_key) {
  auto o = operation(number, w.budget, key);
  auto& a = *o.mutable_acquire_lock();
  a.set_owner(w.owner);
  a.set_shared(w.shared);
  a.set_duration_ms(w.duration_ms);
  a.set_wait(w.wait);
  for (const auto& each : w.protects)
    a.add_protects(each);
  return o;
}
inline v1::Operation renew(std::uint64_t number, const std::string& owner, const version& token) {
  auto o = operation(number, 10s, lock_key);
  o.mutable_renew_lock()->set_owner(owner);
  to_wire(token, *o.mutable_renew_lock()->mutable_token());
  return o;
}
inline v1::Operation release(std::uint64_t number, const std::string& owner, const version& token = {},
                             bool fenced = false) {
  auto o = operation(number, 10s, lock_key);
  o.mutable_release_lock()->set_owner(owner);
  if (token) to_wire(token, *o.mutable_release_lock()->mutable_token());
  o.mutable_release_lock()->set_fenced(fenced);
  return o;
}
inline v1::Operation raise(std::uint64_t number, const version& token, const std::vector<std::string>& keys,
                           const std::vector<std::string>& formerly = {}, bool shared = false) {
  auto o = operation(number, 10s, floor_of_lock);
  auto& f = *o.mutable_raise_fence();
  f.set_lock(lock_key);
  to_wire(token, *f.mutable_token());
  f.set_shared(shared);
  for (const auto& each : keys)
    f.add_keys(each);
  for (const auto& each : formerly)
    f.add_formerly(each);
  return o;
}
inline v1::Operation under(const version& token, v1::Operation write) {
  write.mutable_fence()->set_lock(lock_key);
  to_wire(token, *write.mutable_fence()->mutable_token());
  return write;
}

/// Token of the n-th version that the home of these tests assigns.
inline version token(std::uint64_t n) { return {{1, n1, {1}}, n}; }

/// Records that remember all that a test does.
inline home_options with_memory() {
  auto o = three_replicas();
  o.settled_kept = 32;
  return o;
}

struct lock_home : scripted_home {
  explicit lock_home(home_options o = with_memory()) : scripted_home{o} { lead(); }

  /// Every replica says that `key` was never written.
  std::string touch(const std::string& key) {
    latest_of(key, n1);
    latest_of(key, n2);
    return latest_of(key, n3);
  }
  /// Every replica says that the lock is as `record` tells.
  std::string touch(const std::string& key, const version& v, const v1::Record& record) {
    std::string all;
    for (auto r : {n1, n2, n3})
      all = latest_of(key, r, {v.era}, v, record);
    return all;
  }
  /// Commits what was proposed last; returns the answers, and what was proposed next.
  std::string commit() {
    CHECK(accept(n1) == "");
    return accept(n2);
  }
  /// Keeps the lease while time passes; what the client was answered.
  std::string later(nanoseconds much) {
    std::string all;
    for (auto end = now + much; now < end;) {
      renew_all();
      all += answers_in(tick(std::min<nanoseconds>(end - now, 50ms)));
    }
    renew_all();
    return all;
  }
  static std::string answers_in(const std::string& text) {
    std::string out;
    for (std::size_t at = text.find("n9: "); at != std::string::npos; at = text.find("n9: ", at + 1)) {
      const auto end = text.find(" | ", at);
      out += (out.empty() ? "" : " | ") + text.substr(at, end == std::string::npos ? end : end - at);
    }
    return out;
  }
  /// Receives `o`, which proposes something, and commits it.
  std::string done(const v1::Operation& o) {
    receive(client, o);
    return commit();
  }
  version granted() const { return from_wire(answer.result().version()); }
};

} // namespace troupe::script
