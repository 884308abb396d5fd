#include "runtime/topology/simulated_client.hpp"

#include "protocol/cluster.hpp"
#include "protocol/error.hpp"

#include <algorithm>
#include <array>

namespace troupe::simulated {

namespace {

/// Few, so that the checker can exchange additions of unknown outcome, and such that a number tells how many of each
/// it is made of.
constexpr std::array<std::int64_t, 4> deltas{1, 1'000, 1'000'000, -300'007};

/// Writes of unknown outcome that one key may see.
constexpr std::uint32_t doubts_max = 20;

std::string key_name(std::uint32_t n) { return (n % 2 == 0 ? "n" : "r") + std::to_string(n); }

} // namespace

key_pool::key_pool(std::uint32_t keys) : resting_(keys), next_{keys + keys % 2} {
  for (std::uint32_t n = 0; n < keys; ++n)
    doubts_[current_.emplace_back(key_name(n))] = 0;
}

void key_pool::doubt(const std::string& key) {
  if (++doubts_[key] < doubts_max) return;
  auto place = std::find(current_.begin(), current_.end(), key);
  if (place != current_.end()) *place = fresh(key[0]); // else it rests
}

const std::string& key_pool::fresh(char kind) {
  const auto name = key_name(next_ + (kind == 'n' ? 0 : 1));
  next_ += 2;
  return doubts_.try_emplace(name, 0).first->first;
}

void key_pool::rest(const std::string& key) {
  const auto place = std::find(current_.begin(), current_.end(), key);
  if (place == current_.end()) return;
  auto& rested = resting_[static_cast<std::size_t>(place - current_.begin())];
  if (rested.empty()) rested = fresh(key[0]);
  std::swap(*place, rested);
}

std::vector<std::string> key_pool::all() const {
  std::vector<std::string> names;
  for (const auto& [key, doubts] : doubts_)
    names.push_back(key);
  return names;
}

client::client(std::uint32_t index, habit h, const simulation_options& options, key_pool& keys, dice& random)
    : index_{index}, habit_{h}, options_{options}, keys_{keys}, random_{random}, read_percent_{options.read_percent} {
  if (habit_ == habit::reads)
    read_percent_ = 100;
  else if (options.readers) // others do that already
    read_percent_ /= 2;
}

std::string client::value() {
  auto v = "c" + std::to_string(index_) + "-" + std::to_string(calls_);
  const auto size = random_.below(options_.value_bytes_max + 1);
  if (v.size() < size && random_.chance(0.5)) v.append(size - v.size(), '.');
  return v;
}

v1::Operation client::draw(const std::string& key) {
  ++calls_;
  check::operation op;
  op.key = key.empty() ? keys_.any(random_) : key;
  v1::Operation out;
  out.set_key(stored_key("data", op.key));
  const auto roll = random_.below(100);
  if (!key.empty() || random_.below(100) < read_percent_) {
    op.kind = check::op_kind::get;
    out.mutable_get();
  } else if (roll < (op.key[0] == 'n' ? options_.remove_percent / 3 : options_.remove_percent)) {
    op.kind = check::op_kind::remove;
    out.mutable_remove();
  } else if (op.key[0] == 'n') {
    op.kind = check::op_kind::add;
    op.delta = deltas[random_.below(deltas.size())];
    auto& add = *out.mutable_add();
    add.set_delta(*op.delta);
    if (*op.delta < 0 && random_.chance(0.5)) {
      op.floor = 0;
      add.set_has_floor(true);
    }
  } else if (roll < 65) {
    op.kind = check::op_kind::put;
    op.value = value();
    out.mutable_put()->set_value(*op.value);
  } else {
    op.kind = check::op_kind::cas;
    op.value = value();
    op.old = seen_[op.key];
    auto& cas = *out.mutable_compare_and_set();
    cas.set_value(*op.value);
    if (op.old)
      cas.set_expected(*op.old);
    else
      cas.set_expect_absent(true);
  }
  open_ = std::move(op);
  return out;
}

void client::called(nanoseconds now) {
  open_->client = "\"c" + std::to_string(index_) + "." + std::to_string(identity_) + "\"";
  open_->call = now.count();
}

check::operation client::settle(const v1::Result* result, nanoseconds now) {
  auto op = std::move(*open_);
  open_.reset();
  const auto code = result == nullptr ? errc::timeout : static_cast<errc>(result->error());
  if (code != errc::none) {
    op.outcome = outcome_of(code) == outcome::unknown ? check::op_outcome::unknown : check::op_outcome::fail;
    if (op.outcome == check::op_outcome::unknown)
      ++identity_;
    else
      op.returned = now.count();
    if (op.kind == check::op_kind::get)
      op.value.reset();
    else if (op.outcome == check::op_outcome::unknown)
      keys_.doubt(op.key);
    return op;
  }
  ++done;
  op.outcome = check::op_outcome::ok;
  op.returned = now.count();
  auto& seen = seen_[op.key];
  switch (op.kind) {
  case check::op_kind::get:
    if (result->exists()) op.value = result->value();
    seen = op.value;
    break;
  case check::op_kind::put:
    seen = op.value;
    break;
  case check::op_kind::cas:
    op.applied = result->applied();
    if (*op.applied)
      seen = op.value;
    else
      seen = result->exists() && !result->value().empty() ? std::optional{result->value()} : std::nullopt;
    break;
  case check::op_kind::remove:
    op.applied = result->exists();
    seen.reset();
    if (random_.chance(options_.rest)) keys_.rest(op.key);
    break;
  case check::op_kind::add:
    op.applied = result->applied();
    if (*op.applied) op.result = result->number();
    break;
  default:
    break;
  }
  return op;
}

} // namespace troupe::simulated
