#include "runtime/faces/resp_commands.hpp"

#include "runtime/snapshot_read.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

namespace troupe::resp {

namespace {

constexpr std::string_view command_names =
    "GET SET DEL MGET INCR INCRBY DECR DECRBY SADD SREM SMEMBERS HSET HDEL HGET HGETALL TROUPE.LEVEL TROUPE.TOKEN "
    "PING ECHO HELLO CLIENT COMMAND CONFIG QUIT";

/// Upper case, for comparison with names; ASCII only, as Redis does.
std::string upper(std::string_view text) {
  std::string result{text};
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return result;
}

/// What a client sent, short enough to be quoted in an error.
std::string in_quotes(std::string_view text) {
  constexpr std::size_t shown = 64;
  std::string result = "'";
  result.append(text.substr(0, shown));
  if (text.size() > shown) result += "…";
  return result + "'";
}

std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t number = 0;
  const auto* last = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || stop != last) return std::nullopt;
  return number;
}

/// Above name_bytes_max.
std::string name_too_long() {
  return error("a client's name has at most " + std::to_string(name_bytes_max) + " bytes");
}

/// "type:key" taken apart at its first colon; no value without one.
struct split_key {
  std::string_view type;
  std::string_view key;
};
std::optional<split_key> split(std::string_view word) {
  const auto colon = word.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return split_key{word.substr(0, colon), word.substr(colon + 1)};
}

} // namespace

plan conversation::interpret(command words) {
  const auto name = upper(words.front());
  const auto count = words.size();
  if (name == "GET" || name == "DEL") {
    if (count < 2 || (name == "GET" && count > 2)) return wrong_arity(name);
    v1::Operation operation;
    if (name == "GET")
      operation.mutable_get();
    else
      operation.mutable_remove();
    return on_keys(name == "GET" ? form::value : form::removed, words, 1, count, operation);
  }
  if (name == "SET") return count < 3 ? wrong_arity(name) : set(words);
  if (name == "INCR" || name == "DECR") return count != 2 ? wrong_arity(name) : add(words, name == "INCR" ? 1 : -1);
  if (name == "INCRBY" || name == "DECRBY")
    return count != 3 ? wrong_arity(name) : add_argument(words, name == "DECRBY");
  if (name == "MGET") return count < 2 ? wrong_arity(name) : many(words);
  if (name == "SADD" || name == "SREM" || name == "SMEMBERS") return set_command(name, words);
  if (name == "HSET" || name == "HDEL" || name == "HGET" || name == "HGETALL") return map_command(name, words);
  if (name == "TROUPE.LEVEL") return count > 2 ? wrong_arity(name) : level_command(words);
  if (name == "TROUPE.TOKEN") return count > 2 ? wrong_arity(name) : token_command(words);
  if (name == "PING" || name == "ECHO") {
    if (count > 2 || (name == "ECHO" && count == 1)) return wrong_arity(name);
    return ready(count == 1 ? simple("PONG") : bulk(words[1]));
  }
  if (name == "HELLO") return hello(words);
  if (name == "CLIENT") return client(words);
  if (name == "CONFIG") return config(words);
  if (name == "COMMAND") {
    const bool asks_count = count > 1 && upper(words[1]) == "COUNT";
    if (asks_count) return ready(integer(1 + std::count(command_names.begin(), command_names.end(), ' ')));
    return ready(spoken_ == version::resp3 ? "%0\r\n" : "*0\r\n"); // redis-cli starts cleanly without descriptions
  }
  if (name == "QUIT") {
    auto last = ready(simple("OK"));
    last.close = true;
    return last;
  }
  auto refusal =
      ready(error("unknown command " + in_quotes(words.front()) + ": Troupe has " + std::string{command_names}));
  // A browser that was talked into posting to this port: nothing that follows may be taken for a command.
  refusal.close = name == "POST" || name == "HOST:";
  return refusal;
}

plan conversation::ready(std::string reply) const {
  plan result;
  result.spoken = spoken_;
  result.reply = std::move(reply);
  return result;
}

plan conversation::on_keys(form as, command& words, std::size_t first, std::size_t last,
                           const v1::Operation& operation, read_view view) const {
  plan result;
  result.as = as;
  result.spoken = spoken_;
  for (auto i = first; i < last; ++i) {
    const auto parts = split(words[i]);
    typed_operation asked{parts ? std::string{parts->type} : words[i], parts ? std::string{parts->key} : "",
                          operation};
    const auto mistake = parts ? find_mistake(*shape_, asked) : errc::unknown_type;
    if (mistake == errc::unknown_type)
      return ready(failure(failed(mistake), in_quotes(words[i]) + " has to be TYPE:KEY, with one of these types: "
                                                + type_names(*shape_)));
    if (mistake != errc::none) return ready(failure(failed(mistake)));
    asked.view = view;
    // What was asked for all types is no reason to refuse the weaker ones.
    if (operation.has_get() && level_ && *level_ < shape_->types.at(asked.type).consistency) asked.at = level_;
    if (auto refused = find_refusal(*shape_, asked)) return ready(failure(failed(refused->code), refused->detail));
    result.operations.push_back(std::move(asked));
  }
  return result;
}

plan conversation::add(command& words, std::int64_t delta) const {
  v1::Operation operation;
  operation.mutable_add()->set_delta(delta);
  return on_keys(form::number, words, 1, 2, operation);
}

plan conversation::add_argument(command& words, bool negate) const {
  const auto delta = number_in(words[2]);
  if (!delta || (negate && *delta == std::numeric_limits<std::int64_t>::min()))
    return ready(error("value is not an integer or out of range"));
  return add(words, negate ? -*delta : *delta);
}

plan conversation::set(command& words) const {
  if (words.size() > 3)
    return ready(error("SET takes a key and a value; its option " + in_quotes(words[3]) + " is not supported"));
  v1::Operation operation;
  operation.mutable_put()->set_value(std::move(words[2]));
  return on_keys(form::ok, words, 1, 2, operation);
}

plan conversation::many(command& words) const {
  v1::Operation read;
  read.mutable_get();
  auto result = on_keys(form::values, words, 1, words.size(), read);
  if (result.as == form::ready) return result;
  const auto& type = result.operations.front().type;
  const bool one_type = std::all_of(result.operations.begin(), result.operations.end(),
                                    [&](const typed_operation& asked) { return asked.type == type; });
  const auto given = level_of(shape_->types.at(type), read, result.operations.front().at);
  // Keys of several types, and of types without cuts, are read one by one, as Redis clusters do it.
  result.snapshot = one_type && (given == level::causal || given == level::session);
  if (result.snapshot && result.operations.size() > snapshot_read::keys_max)
    return ready(failure(failed(errc::invalid_argument),
                         "MGET of one causal cut takes up to " + std::to_string(snapshot_read::keys_max) + " keys"));
  for (auto& asked : result.operations)
    if (result.snapshot) asked.view = read_view::snapshot;
  return result;
}

plan conversation::on_parts(form as, command& words, read_view view, std::vector<v1::Operation> operations) const {
  plan result;
  for (const auto& operation : operations) {
    auto one = on_keys(as, words, 1, 2, operation, view);
    if (one.as == form::ready) return one;
    if (result.operations.empty())
      result = std::move(one);
    else
      result.operations.push_back(std::move(one.operations.front()));
  }
  return result;
}

plan conversation::set_command(std::string_view name, command& words) const {
  const bool reads = name == "SMEMBERS";
  if (reads ? words.size() != 2 : words.size() < 3) return wrong_arity(name);
  std::vector<v1::Operation> operations;
  if (reads) operations.emplace_back().mutable_get();
  for (std::size_t i = 2; i < words.size(); ++i) {
    if (name == "SADD")
      operations.emplace_back().mutable_put_field()->set_field(std::move(words[i]));
    else
      operations.emplace_back().mutable_remove_field()->set_field(std::move(words[i]));
  }
  const auto as = reads ? form::members : name == "SADD" ? form::count : form::removed;
  return on_parts(as, words, read_view::elements, std::move(operations));
}

plan conversation::map_command(std::string_view name, command& words) const {
  const bool writes = name == "HSET";
  const bool removes = name == "HDEL";
  const auto count = words.size();
  if (writes ? count < 4 || count % 2 != 0 : removes ? count < 3 : count != (name == "HGET" ? 3U : 2U))
    return wrong_arity(name);
  std::vector<v1::Operation> operations;
  for (std::size_t i = 2; (writes || removes) && i < count; i += writes ? 2 : 1) {
    if (writes) {
      auto& put = *operations.emplace_back().mutable_put_field();
      put.set_field(std::move(words[i]));
      put.set_value(std::move(words[i + 1]));
    } else {
      operations.emplace_back().mutable_remove_field()->set_field(std::move(words[i]));
    }
  }
  if (operations.empty()) operations.emplace_back().mutable_get();
  const auto as = writes ? form::count : removes ? form::removed : name == "HGET" ? form::field : form::map;
  auto result = on_parts(as, words, read_view::fields, std::move(operations));
  if (as == form::field) result.field = std::move(words[2]);
  return result;
}

plan conversation::level_command(const command& words) {
  if (words.size() == 1) return ready(bulk(level_ ? name_of(*level_) : "default"));
  auto name = words[1];
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  const auto wanted = level_named(name);
  if (!wanted && name != "default")
    return ready(error("TROUPE.LEVEL is eventual, session, causal, strong, or default: of reads whose type has a "
                       "stronger one"));
  level_ = wanted;
  return ready(simple("OK"));
}

plan conversation::token_command(command& words) const {
  plan result;
  result.spoken = spoken_;
  result.as = words.size() == 1 ? form::token : form::ok;
  if (words.size() == 2) result.join = std::move(words[1]);
  return result;
}

plan conversation::hello(const command& words) {
  auto wanted = spoken_;
  auto named = name_;
  if (words.size() > 1) {
    if (words[1] != "2" && words[1] != "3") return ready("-NOPROTO unsupported protocol version\r\n");
    wanted = words[1] == "2" ? version::resp2 : version::resp3;
  }
  for (std::size_t i = 2; i < words.size(); i += 2) {
    const auto option = upper(words[i]);
    if (option == "AUTH") return ready(error("HELLO AUTH is not supported: Troupe has no passwords"));
    if (option != "SETNAME" || i + 1 == words.size())
      return ready(error("syntax error in HELLO at " + in_quotes(words[i])));
    if (words[i + 1].size() > name_bytes_max) return ready(name_too_long());
    named = words[i + 1];
  }
  spoken_ = wanted;
  name_ = std::move(named);
  std::string reply = spoken_ == version::resp3 ? "%6\r\n" : "*12\r\n";
  reply += bulk("server") + bulk("troupe") + bulk("version") + bulk(TROUPE_VERSION);
  reply += bulk("proto") + integer(static_cast<std::int64_t>(spoken_)) + bulk("id")
           + integer(static_cast<std::int64_t>(id_));
  reply += bulk("mode") + bulk("standalone") + bulk("modules") + "*0\r\n";
  return ready(std::move(reply));
}

plan conversation::client(const command& words) {
  const auto what = words.size() > 1 ? upper(words[1]) : std::string{};
  if (what == "ID" && words.size() == 2) return ready(integer(static_cast<std::int64_t>(id_)));
  if (what == "GETNAME" && words.size() == 2) return ready(name_.empty() ? null(spoken_) : bulk(name_));
  if (what == "SETINFO" && words.size() == 4) return ready(simple("OK"));
  if (what == "SETNAME" && words.size() == 3) {
    if (words[2].size() > name_bytes_max) return ready(name_too_long());
    name_ = words[2];
    return ready(simple("OK"));
  }
  return ready(
      error("CLIENT is there as CLIENT ID, CLIENT GETNAME, CLIENT SETNAME name and CLIENT SETINFO name value"));
}

plan conversation::config(const command& words) const {
  if (words.size() < 3 || upper(words[1]) != "GET")
    return ready(error("CONFIG is there as CONFIG GET; a node is configured by its file"));
  // What redis-benchmark asks before it starts: writes are durable, and there are no snapshots.
  constexpr std::array<std::array<std::string_view, 2>, 2> known{{{"save", ""}, {"appendonly", "yes"}}};
  std::string pairs;
  std::size_t found = 0;
  for (const auto& [name, value] : known)
    if (std::find(words.begin() + 2, words.end(), name) != words.end()) {
      pairs += bulk(name) + bulk(value);
      ++found;
    }
  const auto header = spoken_ == version::resp3 ? "%" + std::to_string(found) : "*" + std::to_string(2 * found);
  return ready(header + "\r\n" + pairs);
}

plan conversation::wrong_arity(std::string_view name) const {
  return ready(error("wrong number of arguments for '" + std::string{name} + "'"));
}

} // namespace troupe::resp
