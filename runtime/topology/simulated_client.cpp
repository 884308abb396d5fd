#include "runtime/topology/simulated_client.hpp"

#include "protocol/cluster.hpp"
#include "protocol/error.hpp"

namespace troupe::simulated {

std::string key_name(std::uint32_t n) { return (n % 2 == 0 ? "n" : "r") + std::to_string(n); }

std::string client::value() {
  auto v = "c" + std::to_string(index_) + "-" + std::to_string(calls_);
  const auto size = random_.below(options_.value_bytes_max + 1);
  if (v.size() < size && random_.chance(0.5)) v.append(size - v.size(), '.');
  return v;
}

v1::Operation client::draw(const std::string& key) {
  ++calls_;
  check::operation op;
  op.key = key.empty() ? key_name(static_cast<std::uint32_t>(random_.below(options_.keys))) : key;
  v1::Operation out;
  out.set_key(stored_key("data", op.key));
  const auto roll = random_.below(100);
  if (!key.empty() || random_.below(100) < options_.read_percent) {
    op.kind = check::op_kind::get;
    out.mutable_get();
  } else if (roll < 10) {
    op.kind = check::op_kind::remove;
    out.mutable_remove();
  } else if (op.key[0] == 'n') {
    op.kind = check::op_kind::add;
    op.delta = random_.between(-5, 8);
    auto& add = *out.mutable_add();
    add.set_delta(*op.delta);
    if (random_.chance(0.5)) {
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
    if (op.kind == check::op_kind::get) op.value.reset();
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
