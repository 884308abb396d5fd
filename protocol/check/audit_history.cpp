/// How the operations of an audit become histories that the checkers judge.
#include "protocol/check/audit.hpp"

#include <algorithm>
#include <limits>
#include <set>

namespace troupe::check {

namespace {

std::string quoted(const std::string& text) { return '"' + text + '"'; }

bool counts(const audited& op) {
  return op.line.outcome == op_outcome::ok && op.at && op.line.call && op.line.returned;
}

/// It made the version that it was answered; else the version was there.
bool wrote(const operation& line) {
  switch (line.kind) {
  case op_kind::put:
    return true;
  case op_kind::cas:
  case op_kind::add:
    return line.applied.value_or(true);
  case op_kind::remove:
    return line.applied.value_or(false);
  default:
    return false;
  }
}

/// A get says what its version holds. A write does not: a home may commit several writes as one version.
std::string found_by(const operation& line) { return line.value ? "=" + *line.value : " (absent)"; }

/// One text per version: with what the first get found there.
std::map<audit_version, std::string> texts_of(const std::vector<audited>& operations) {
  std::map<audit_version, std::string> texts;
  for (const auto& op : operations)
    if (counts(op) && op.line.kind == op_kind::get) texts.try_emplace(op.at, to_string(op.at) + found_by(op.line));
  for (const auto& op : operations)
    if (counts(op)) texts.try_emplace(op.at, to_string(op.at));
  return texts;
}

struct moments {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  std::int64_t last = std::numeric_limits<std::int64_t>::min();
};

moments moments_of(const std::vector<audited>& operations) {
  moments all;
  for (const auto& op : operations) {
    if (!counts(op)) continue;
    all.first = std::min(all.first, *op.line.call);
    all.last = std::max(all.last, *op.line.returned);
  }
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  return {std::max(all.first, least + 1) - 1, std::min(all.last, most - 1) + 1};
}

std::string client_text(const std::string& client) {
  return client.size() >= 2 && client.front() == '"' ? client.substr(1, client.size() - 2) : client;
}

} // namespace

history history_of_versions(const std::vector<audited>& operations) {
  history all;
  const auto texts = texts_of(operations);
  if (texts.empty()) return all;
  // The writer of a version: of several, the last that was called. The others were committed with it, and found it.
  std::map<audit_version, const audited*> writers;
  std::string key;
  for (const auto& op : operations) {
    if (!counts(op)) continue;
    key = op.line.key;
    if (!wrote(op.line)) continue;
    auto& writer = writers[op.at];
    if (writer == nullptr || *writer->line.call < *op.line.call) writer = &op;
  }
  const auto around = moments_of(operations);
  std::optional<std::string> before;
  for (const auto& [v, text] : texts) {
    operation write;
    write.key = key;
    write.kind = before ? op_kind::cas : op_kind::put;
    write.value = text;
    write.ver = quoted(to_string(v));
    if (before) {
      write.old = before;
      write.applied = true;
    }
    const auto writer = writers.find(v);
    if (writer == writers.end()) {
      write.client = quoted("somebody wrote " + to_string(v));
      write.call = around.first;
      write.returned = around.last;
    } else {
      write.client = quoted(client_text(writer->second->line.client) + " wrote " + to_string(v));
      write.call = writer->second->line.call;
      write.returned = writer->second->line.returned;
    }
    before = text;
    all.operations.push_back(std::move(write));
  }
  std::size_t n = 0;
  for (const auto& op : operations) {
    ++n;
    if (!counts(op)) continue;
    const auto writer = writers.find(op.at);
    if (writer != writers.end() && writer->second == &op) continue;
    operation read;
    read.client = quoted(client_text(op.line.client) + " call " + std::to_string(n));
    read.key = key;
    read.value = op.line.kind == op_kind::get ? to_string(op.at) + found_by(op.line) : texts.at(op.at);
    read.call = op.line.call;
    read.returned = op.line.returned;
    read.ver = quoted(to_string(op.at));
    all.operations.push_back(std::move(read));
  }
  return all;
}

std::optional<std::pair<std::size_t, std::size_t>> contradiction_in(const std::vector<audited>& operations) {
  std::optional<std::pair<std::size_t, std::size_t>> found;
  std::int64_t apart = std::numeric_limits<std::int64_t>::max();
  for (std::size_t a = 0; a < operations.size(); ++a) {
    const auto& first = operations[a];
    if (!counts(first)) continue;
    for (std::size_t b = 0; b < operations.size(); ++b) {
      const auto& second = operations[b];
      if (a == b || !counts(second)) continue;
      const bool in_turn = *first.line.returned < *second.line.call;
      const bool went_back = in_turn && (first.at > second.at || (first.at == second.at && wrote(second.line)));
      const bool differ = a < b && first.at == second.at && first.line.kind == op_kind::get
                          && second.line.kind == op_kind::get && first.line.value != second.line.value;
      if (!went_back && !differ) continue;
      // Of all, the one that a person can follow most easily.
      const auto distance =
          std::max(*second.line.returned, *first.line.returned) - std::min(*second.line.call, *first.line.call);
      if (distance < apart) {
        apart = distance;
        found = {a, b};
      }
    }
  }
  return found;
}

history history_of_sessions(const std::vector<audited>& operations) {
  history all;
  // A weaker version is one write's, so what that wrote is what it holds. Keys have versions of their own.
  std::map<std::pair<std::string, audit_version>, std::string> texts;
  const auto text_of = [](const audited& op) {
    const bool none = op.line.kind == op_kind::remove || !op.line.value;
    return to_string(op.at) + (none ? " (absent)" : "=" + *op.line.value);
  };
  std::vector<const audited*> in_order;
  for (const auto& op : operations)
    if (counts(op)
        && (op.line.kind == op_kind::get || op.line.kind == op_kind::put || op.line.kind == op_kind::remove))
      in_order.push_back(&op);
  std::stable_sort(in_order.begin(), in_order.end(),
                   [](const audited* a, const audited* b) { return *a->line.call < *b->line.call; });
  std::set<std::pair<std::string, audit_version>> written;
  for (const bool writes : {true, false})
    for (const auto* op : in_order)
      if ((op->line.kind != op_kind::get) == writes) {
        texts.try_emplace({op->line.key, op->at}, text_of(*op));
        if (writes) written.insert({op->line.key, op->at});
      }
  std::size_t n = 0;
  for (const auto& [name, text] : texts) {
    if (written.contains(name)) continue;
    operation write;
    write.client = quoted("somebody " + std::to_string(++n));
    write.key = name.first;
    write.kind = op_kind::put;
    write.value = text;
    write.ver = quoted(to_string(name.second));
    all.operations.push_back(std::move(write));
  }
  std::map<std::string, std::int64_t> until; // by client: when its calls were all over
  for (const auto* op : in_order) {
    operation line;
    line.client = op->line.client;
    line.key = op->line.key;
    // The second write of a version only says that the version was there.
    const bool writes = op->line.kind != op_kind::get && written.erase({op->line.key, op->at}) > 0;
    line.kind = writes ? op_kind::put : op_kind::get;
    line.value = text_of(*op);
    line.call = op->line.call;
    line.returned = op->line.returned;
    line.ver = quoted(to_string(op->at));
    // Calls of one session that overlap are in no order that anybody was promised.
    auto& busy = until.try_emplace(op->line.client, std::numeric_limits<std::int64_t>::min()).first->second;
    if (*line.call <= busy)
      line.client = quoted(client_text(op->line.client) + ", beside " + std::to_string(++n));
    else
      busy = *line.returned;
    all.operations.push_back(std::move(line));
  }
  return all;
}

std::optional<history> history_with_any_start(const history& cut) {
  std::set<std::string> values;
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  for (const auto& op : cut.operations) {
    if (op.call) first = std::min(first, *op.call);
    const bool answered = op.outcome == op_outcome::ok;
    if (op.kind == op_kind::append) return std::nullopt;
    if (op.kind == op_kind::get && answered && op.value) values.insert(*op.value);
    if (op.kind == op_kind::cas && op.old) values.insert(*op.old);
    if (op.kind == op_kind::put) values.insert(*op.value); // which somebody may find before it is put
    if (op.kind != op_kind::add) continue;
    // One that was not told its result may have found any number.
    std::int64_t found = 0;
    if (!answered || !op.result || __builtin_sub_overflow(*op.result, *op.delta, &found)) return std::nullopt;
    values.insert(std::to_string(found));
  }
  history all;
  if (cut.operations.empty()) return all;
  std::string other = "some other value";
  while (values.contains(other))
    other += '\'';
  values.insert(std::move(other));
  std::size_t n = 0;
  for (const auto& value : values) {
    operation start;
    start.client = quoted("before " + std::to_string(++n));
    start.key = cut.operations.front().key;
    start.kind = op_kind::put;
    start.outcome = op_outcome::unknown;
    start.value = value;
    start.call = std::max(first, std::numeric_limits<std::int64_t>::min() + 1) - 1;
    all.operations.push_back(std::move(start));
  }
  all.operations.insert(all.operations.end(), cut.operations.begin(), cut.operations.end());
  return all;
}

} // namespace troupe::check
