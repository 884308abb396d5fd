#include "runtime/faces/resp_commands.hpp"
#include "runtime/faces/resp_parser.hpp"
#include "runtime/faces/resp_reply.hpp"

#include "protocol/limits.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace troupe;
using resp::found;

namespace {

std::string array(const resp::command& words) {
  std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
  for (const auto& word : words)
    bytes += resp::bulk(word);
  return bytes;
}

/// All that a parser finds, in order: a line per command, "<too large>", "<broken: why>" at the end.
std::vector<std::string> all_in(resp::parser& parser) {
  std::vector<std::string> lines;
  for (resp::command words;;) {
    switch (parser.next(words)) {
    case found::nothing:
      return lines;
    case found::too_large:
      lines.emplace_back("<too large>");
      break;
    case found::broken:
      lines.push_back("<broken: " + std::string{parser.problem()} + ">");
      return lines;
    case found::complete: {
      std::string line;
      for (const auto& word : words)
        line += "[" + word + "]";
      lines.push_back(line);
    }
    }
  }
}

using lines = std::vector<std::string>;

lines parse(std::string_view bytes, resp::parser_limits bounds = {}) {
  resp::parser parser{bounds};
  parser.feed(bytes);
  return all_in(parser);
}

/// Feeds `bytes` in pieces cut at random; the pieces must never make a difference.
lines parse_in_pieces(std::string_view bytes, resp::parser_limits bounds, std::mt19937_64& random) {
  resp::parser parser{bounds};
  lines result;
  while (!bytes.empty()) {
    const auto size = std::min<std::size_t>(bytes.size(), 1 + random() % (random() % 4 == 0 ? 40 : 3));
    parser.feed(bytes.substr(0, size));
    bytes.remove_prefix(size);
    for (auto& line : all_in(parser))
      result.push_back(line);
    if (!parser.problem().empty()) break;
  }
  return result;
}

cluster shop() {
  cluster shape;
  shape.name = "test";
  shape.types["inventory"] = {};
  shape.types["cart"] = {};
  return shape;
}

std::string render(resp::form as, resp::version spoken, const std::vector<v1::Result>& results) {
  std::vector<v1::WeakAnswer> answers(results.size());
  for (std::size_t i = 0; i < results.size(); ++i)
    *answers[i].mutable_result() = results[i];
  return resp::render(as, spoken, answers);
}

/// A talk with a node that has types of every kind.
cluster weak_shape() {
  cluster shape;
  shape.types["stock"] = {};
  shape.types["reviews"] = {.consistency = level::causal};
  shape.types["cart"] = {.consistency = level::session, .resolver = resolver_kind::map};
  shape.types["tags"] = {.consistency = level::eventual, .resolver = resolver_kind::set};
  shape.types["views"] = {.consistency = level::eventual, .resolver = resolver_kind::counter};
  return shape;
}

struct talk {
  cluster shape = shop();
  resp::conversation with{shape, 7};
  resp::plan say(resp::command words) { return with.interpret(std::move(words)); }
  std::string reply(resp::command words) {
    const auto plan = say(std::move(words));
    CHECK(plan.operations.empty());
    return plan.reply;
  }
};

v1::Result with_value(std::string value) {
  v1::Result result;
  result.set_applied(true);
  result.set_exists(true);
  result.set_value(std::move(value));
  return result;
}

v1::Result removed(bool existed) {
  v1::Result result;
  result.set_exists(existed);
  return result;
}

} // namespace

TEST_CASE("resp: arrays of bulk strings become commands, with any bytes inside") {
  CHECK(parse("*1\r\n$4\r\nPING\r\n") == lines{"[PING]"});
  CHECK(parse("*2\r\n$3\r\nGET\r\n$7\r\ncart:\r\n\r\n") == lines{"[GET][cart:\r\n]"});
  CHECK(parse("*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1\r\n$4\r\nQUIT\r\n") == lines{"[GET][]", "[QUIT]"});
}

TEST_CASE("resp: inline commands, empty lines and empty arrays, mixed with arrays") {
  CHECK(parse("PING\r\n") == lines{"[PING]"});
  CHECK(parse("  set  cart:a\t1 \n\r\n\n*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\nget cart:a\r\n")
        == lines{"[set][cart:a][1]", "[PING]", "[get][cart:a]"});
}

TEST_CASE("resp: an incomplete command is kept until its rest arrives") {
  const auto bytes = array({"SET", "cart:a", "one\r\ntwo"});
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    resp::parser parser;
    parser.feed(std::string_view{bytes}.substr(0, cut));
    CHECK(all_in(parser).empty());
    parser.feed(std::string_view{bytes}.substr(cut));
    CHECK(all_in(parser) == lines{"[SET][cart:a][one\r\ntwo]"});
    CHECK(parser.held_bytes() == 0);
  }
}

TEST_CASE("resp: what is not RESP is named once and for all") {
  CHECK(parse("*x\r\n") == lines{"<broken: invalid multibulk length>"});
  CHECK(parse("*9999999999\r\n") == lines{"<broken: invalid multibulk length>"});
  CHECK(parse("*1\r\n:4\r\n") == lines{"<broken: expected '$'>"});
  CHECK(parse("*1\r\n$-1\r\n") == lines{"<broken: invalid bulk length>"});
  CHECK(parse("*1\r\n$99999999999999999999\r\n") == lines{"<broken: invalid bulk length>"});
  CHECK(parse("*1\r\n$4\r\nPINGxx") == lines{"<broken: a bulk string does not end where its length says>"});
  CHECK(parse(std::string(20'000, 'a')) == lines{"<broken: too big inline request>"});
  CHECK(parse("*" + std::string(100, '1')) == lines{"<broken: invalid multibulk length>"});
  resp::parser parser;
  parser.feed("*x\r\n*1\r\n$4\r\nPING\r\n");
  resp::command words;
  CHECK(parser.next(words) == found::broken);
  parser.feed("PING\r\n");
  CHECK(parser.next(words) == found::broken);
  CHECK(parser.held_bytes() == 0);
}

TEST_CASE("resp: a command above the limits is skipped, and the stream goes on behind it") {
  const resp::parser_limits bounds{
      .words_max = 3, .word_bytes_max = 8, .command_bytes_max = 12, .inline_bytes_max = 40};
  const auto ping = array({"PING"});
  CHECK(parse(array({"SET", "a", "123456789"}) + ping, bounds) == lines{"<too large>", "[PING]"});
  CHECK(parse(array({"SET", "12345678", "12"}) + ping, bounds) == lines{"<too large>", "[PING]"});
  CHECK(parse(array({"DEL", "a", "b", "c"}) + ping, bounds) == lines{"<too large>", "[PING]"});
  CHECK(parse("del a b c\r\n" + ping, bounds) == lines{"<too large>", "[PING]"});
  CHECK(parse(array({"SET", "12345678", "1"}) + ping, bounds) == lines{"[SET][12345678][1]", "[PING]"});
}

TEST_CASE("resp: announced lengths cost no memory, and skipped words are not kept") {
  resp::parser parser;
  parser.feed("*1000000\r\n$500000000\r\n");
  CHECK(all_in(parser).empty());
  CHECK(parser.held_bytes() == 0);
  const std::string piece(1 << 16, 'x');
  for (int i = 0; i < 64; ++i) {
    parser.feed(piece);
    CHECK(all_in(parser).empty());
    CHECK(parser.held_bytes() == 0);
  }
}

TEST_CASE("resp: a stream gives the same commands however it is cut") {
  const resp::parser_limits bounds{
      .words_max = 5, .word_bytes_max = 30, .command_bytes_max = 60, .inline_bytes_max = 64};
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    std::string stream;
    for (auto commands = random() % 12; commands > 0; --commands) {
      if (random() % 4 == 0) {
        stream += "get cart:" + std::to_string(random() % 100) + (random() % 2 == 0 ? "\r\n" : "\n");
        continue;
      }
      resp::command words;
      for (auto count = 1 + random() % 6; count > 0; --count) {
        std::string word(random() % 34, ' ');
        for (auto& c : word)
          c = static_cast<char>(random());
        words.push_back(word);
      }
      stream += array(words);
    }
    if (random() % 3 == 0) stream += "*1\r\n$2\r\nabc";
    CHECK(parse_in_pieces(stream, bounds, random) == parse(stream, bounds));
  }
}

TEST_CASE("resp: random bytes never crash the parser nor make it keep more than it was fed") {
  constexpr std::string_view grammar = "*$0123456789-\r\n\r\n*1\r\n$3\r\n GETSETx";
  for (std::uint64_t seed = 1; seed <= 2'000; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    resp::parser parser{{.words_max = 8, .word_bytes_max = 100, .command_bytes_max = 200, .inline_bytes_max = 100}};
    std::size_t fed = 0;
    for (int piece = 0; piece < 50; ++piece) {
      std::string bytes(random() % 40, ' ');
      for (auto& c : bytes)
        c = seed % 2 == 0 ? static_cast<char>(random()) : grammar[random() % grammar.size()];
      parser.feed(bytes);
      fed += bytes.size();
      (void)all_in(parser);
      REQUIRE(parser.held_bytes() <= std::min<std::size_t>(fed, 400));
    }
  }
}

TEST_CASE("resp: TYPE:KEY is taken apart at its first colon") {
  talk t;
  const auto plan = t.say({"get", "inventory:a:b"});
  REQUIRE(plan.operations.size() == 1);
  CHECK(plan.as == resp::form::value);
  CHECK(plan.operations[0].type == "inventory");
  CHECK(plan.operations[0].key == "a:b");
  CHECK(plan.operations[0].operation.has_get());
}

TEST_CASE("resp: keys without a known type are refused with the types that there are") {
  talk t;
  constexpr std::string_view types = "with one of these types: cart, inventory\r\n";
  for (const auto* key : {"stock", "stock:1", ":1", ""}) {
    const auto reply = t.reply({"GET", key});
    CHECK(reply.starts_with("-NOTDONE unknown_type: "));
    CHECK(reply.ends_with(types));
  }
  CHECK(t.reply({"DEL", "cart:1", "stock:1"}).starts_with("-NOTDONE unknown_type: "));
  CHECK(t.reply({"GET", "cart:"}).starts_with("-NOTDONE key_too_long: "));
  CHECK(t.reply({"GET", "cart:" + std::string(1'025, 'k')}).starts_with("-NOTDONE key_too_long: "));
  CHECK(t.say({"GET", "cart:" + std::string(1'024, 'k')}).operations.size() == 1);
  CHECK(t.reply({"SET", "cart:a", std::string(limits::value_bytes_max + 1, 'v')})
            .starts_with("-NOTDONE value_too_large: "));
}

TEST_CASE("resp: writes and counters become operations") {
  talk t;
  auto plan = t.say({"SET", "cart:a", "v"});
  CHECK(plan.as == resp::form::ok);
  CHECK(plan.operations.at(0).operation.put().value() == "v");
  CHECK(t.say({"INCR", "cart:a"}).operations.at(0).operation.add().delta() == 1);
  CHECK(t.say({"DECR", "cart:a"}).operations.at(0).operation.add().delta() == -1);
  CHECK(t.say({"INCRBY", "cart:a", "-5"}).operations.at(0).operation.add().delta() == -5);
  CHECK(t.say({"DECRBY", "cart:a", "-5"}).operations.at(0).operation.add().delta() == 5);
  CHECK(!t.say({"INCRBY", "cart:a", "1"}).operations.at(0).operation.add().has_floor());
  plan = t.say({"DEL", "cart:a", "inventory:b"});
  CHECK(plan.as == resp::form::removed);
  REQUIRE(plan.operations.size() == 2);
  CHECK(plan.operations[1].operation.has_remove());
  constexpr auto no_number = "-ERR value is not an integer or out of range\r\n";
  CHECK(t.reply({"INCRBY", "cart:a", "1x"}) == no_number);
  CHECK(t.reply({"INCRBY", "cart:a", "9223372036854775808"}) == no_number);
  CHECK(t.reply({"DECRBY", "cart:a", "-9223372036854775808"}) == no_number);
}

TEST_CASE("resp: what Redis has and Troupe does not is refused by name") {
  talk t;
  CHECK(t.reply({"LPUSH", "a"}).starts_with("-ERR unknown command 'LPUSH': Troupe has GET SET DEL"));
  CHECK(t.reply({"SET", "cart:a", "1", "EX", "10"})
        == "-ERR SET takes a key and a value; its option 'EX' is not supported\r\n");
  CHECK(t.reply({"GET"}) == "-ERR wrong number of arguments for 'GET'\r\n");
  CHECK(t.reply({"GET", "cart:a", "b"}) == "-ERR wrong number of arguments for 'GET'\r\n");
  CHECK(t.reply({"x\r\n+OK"}).find("\r\n+") == std::string::npos);
  CHECK(t.reply({"CONFIG", "SET", "a", "b"}).starts_with("-ERR CONFIG "));
}

TEST_CASE("resp: a request that a browser was talked into ends the connection") {
  talk t;
  CHECK(t.say({"POST", "/", "HTTP/1.1"}).close);
  CHECK(t.say({"Host:", "localhost"}).close);
  CHECK(!t.say({"LPUSH", "a"}).close);
  CHECK(t.say({"QUIT"}).close);
}

TEST_CASE("resp: what clients say when they start") {
  talk t;
  CHECK(t.reply({"ping"}) == "+PONG\r\n");
  CHECK(t.reply({"PING", "x"}) == "$1\r\nx\r\n");
  CHECK(t.reply({"ECHO", "x"}) == "$1\r\nx\r\n");
  CHECK(t.reply({"COMMAND", "DOCS"}) == "*0\r\n");
  CHECK(t.reply({"COMMAND", "COUNT"}) == ":24\r\n");
  CHECK(t.reply({"CLIENT", "ID"}) == ":7\r\n");
  CHECK(t.reply({"CLIENT", "GETNAME"}) == "$-1\r\n");
  CHECK(t.reply({"CLIENT", "SETNAME", "me"}) == "+OK\r\n");
  CHECK(t.reply({"CLIENT", "GETNAME"}) == "$2\r\nme\r\n");
  CHECK(t.reply({"CLIENT", "SETINFO", "LIB-NAME", "x"}) == "+OK\r\n");
  CHECK(t.reply({"CONFIG", "GET", "save"}) == "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
  CHECK(t.reply({"CONFIG", "GET", "maxmemory"}) == "*0\r\n");
}

TEST_CASE("resp: HELLO 3 changes nulls and maps, and only when all of it was understood") {
  talk t;
  CHECK(t.reply({"HELLO"}).starts_with("*12\r\n$6\r\nserver\r\n$6\r\ntroupe\r\n"));
  CHECK(t.reply({"HELLO", "4"}) == "-NOPROTO unsupported protocol version\r\n");
  CHECK(t.reply({"HELLO", "3", "AUTH", "u", "p"}).starts_with("-ERR HELLO AUTH"));
  CHECK(t.reply({"HELLO", "3", "SETNAME"}).starts_with("-ERR syntax error"));
  CHECK(t.with.spoken() == resp::version::resp2);
  CHECK(t.reply({"HELLO", "3", "SETNAME", "me"}).starts_with("%6\r\n"));
  CHECK(t.reply({"CLIENT", "GETNAME"}) == "$2\r\nme\r\n");
  CHECK(t.say({"GET", "cart:a"}).spoken == resp::version::resp3);
  CHECK(t.reply({"CONFIG", "GET", "appendonly"}) == "%1\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n");
}

TEST_CASE("resp: a client's name is bounded, whichever way it is given") {
  const std::string longest(resp::name_bytes_max, 'n');
  const std::string too_long = longest + "n";
  talk t;
  CHECK(t.reply({"CLIENT", "SETNAME", "me"}) == "+OK\r\n");
  CHECK(t.reply({"CLIENT", "SETNAME", too_long}) == "-ERR a client's name has at most 1024 bytes\r\n");
  CHECK(t.reply({"HELLO", "3", "SETNAME", too_long}) == "-ERR a client's name has at most 1024 bytes\r\n");
  CHECK(t.with.spoken() == resp::version::resp2);
  CHECK(t.reply({"CLIENT", "GETNAME"}) == "$2\r\nme\r\n");
  CHECK(t.reply({"HELLO", "3", "SETNAME", longest}).starts_with("%6\r\n"));
  CHECK(t.reply({"CLIENT", "GETNAME"}) == "$1024\r\n" + longest + "\r\n");
}

TEST_CASE("resp: results become replies") {
  const auto v2 = resp::version::resp2;
  CHECK(render(resp::form::value, v2, {with_value("a\r\nb")}) == "$4\r\na\r\nb\r\n");
  CHECK(render(resp::form::value, v2, {v1::Result{}}) == "$-1\r\n");
  CHECK(render(resp::form::value, resp::version::resp3, {v1::Result{}}) == "_\r\n");
  CHECK(render(resp::form::ok, v2, {with_value("")}) == "+OK\r\n");
  v1::Result sum;
  sum.set_number(-3);
  CHECK(render(resp::form::number, v2, {sum}) == ":-3\r\n");
  CHECK(render(resp::form::removed, v2, {removed(true), removed(false), removed(true)}) == ":2\r\n");
}

TEST_CASE("resp: an error says whether the operation may have happened") {
  const auto v2 = resp::version::resp2;
  CHECK(render(resp::form::ok, v2, {failed(errc::timeout)})
        == "-UNKNOWN timeout: the deadline passed before the outcome was known\r\n");
  CHECK(render(resp::form::ok, v2, {failed(errc::overloaded)})
        == "-NOTDONE overloaded: a bounded queue is full; try again later\r\n");
  v1::Result newer;
  newer.set_error(200);
  CHECK(render(resp::form::ok, v2, {newer}).starts_with("-UNKNOWN unknown_error: "));
}

TEST_CASE("resp: a command of several keys that failed in part says so, and unknown outweighs not done") {
  const auto v2 = resp::version::resp2;
  const auto as = resp::form::removed;
  CHECK(render(as, v2, {removed(true), failed(errc::unavailable)}).starts_with("-PARTIAL unavailable: "));
  CHECK(render(as, v2, {removed(true), failed(errc::unavailable)}).ends_with("; 1 of 2 keys were done\r\n"));
  CHECK(render(as, v2, {failed(errc::unavailable), failed(errc::timeout)}).starts_with("-UNKNOWN timeout: "));
  CHECK(render(as, v2, {failed(errc::timeout), failed(errc::unavailable)}).starts_with("-UNKNOWN timeout: "));
  CHECK(render(as, v2, {failed(errc::unavailable), failed(errc::unavailable)}).starts_with("-NOTDONE "));
}

TEST_CASE("resp: sets, maps and counters of the weaker levels become operations") {
  const auto shape = weak_shape();
  resp::conversation with{shape, 7};
  auto plan = with.interpret({"SADD", "tags:a", "x", "y"});
  CHECK(plan.as == resp::form::count);
  REQUIRE(plan.operations.size() == 2);
  CHECK(plan.operations[1].operation.put_field().field() == "y");
  CHECK(plan.operations[1].view == read_view::elements);
  plan = with.interpret({"SREM", "tags:a", "x"});
  CHECK(plan.as == resp::form::removed);
  CHECK(plan.operations.at(0).operation.remove_field().field() == "x");
  plan = with.interpret({"SMEMBERS", "tags:a"});
  CHECK(plan.as == resp::form::members);
  CHECK(plan.operations.at(0).operation.has_get());
  plan = with.interpret({"HSET", "cart:a", "f", "1", "g", "2"});
  CHECK(plan.as == resp::form::count);
  REQUIRE(plan.operations.size() == 2);
  CHECK(plan.operations[1].operation.put_field().value() == "2");
  CHECK(with.interpret({"HDEL", "cart:a", "f", "g"}).operations.size() == 2);
  plan = with.interpret({"HGET", "cart:a", "f"});
  CHECK(plan.as == resp::form::field);
  CHECK(plan.field == "f");
  CHECK(with.interpret({"HGETALL", "cart:a"}).as == resp::form::map);
  CHECK(with.interpret({"INCRBY", "views:a", "-2"}).operations.at(0).operation.add().delta() == -2);
  CHECK(with.interpret({"SADD", "tags:a"}).reply == "-ERR wrong number of arguments for 'SADD'\r\n");
  CHECK(with.interpret({"HSET", "cart:a", "f"}).reply == "-ERR wrong number of arguments for 'HSET'\r\n");
  CHECK(with.interpret({"HGET", "cart:a"}).reply == "-ERR wrong number of arguments for 'HGET'\r\n");
}

TEST_CASE("resp: what a type's level or resolver does not have is refused with what it has") {
  const auto shape = weak_shape();
  resp::conversation with{shape, 7};
  const auto refused = [&](resp::command words, std::string_view has) {
    const auto plan = with.interpret(std::move(words));
    CAPTURE(plan.reply);
    CHECK(plan.operations.empty());
    CHECK(plan.reply.starts_with("-NOTDONE unsupported_operation: "));
    CHECK(plan.reply.find(has) != std::string::npos);
  };
  refused({"GET", "tags:a"}, "it has elements_of, add_element");
  refused({"SET", "views:a", "1"}, "it has get and add");
  refused({"INCR", "reviews:a"}, "it has get, put and remove");
  refused({"SADD", "reviews:a", "x"}, "last_writer_wins");
  refused({"HGETALL", "tags:a"}, "with the resolver set");
  refused({"SMEMBERS", "stock:a"}, "stock is strong");
}

TEST_CASE("resp: TROUPE.LEVEL weakens reads, and those only of types that are stronger") {
  const auto shape = weak_shape();
  resp::conversation with{shape, 7};
  CHECK(with.interpret({"TROUPE.LEVEL"}).reply == "$7\r\ndefault\r\n");
  CHECK(with.interpret({"TROUPE.LEVEL", "SESSION"}).reply == "+OK\r\n");
  CHECK(with.interpret({"TROUPE.LEVEL"}).reply == "$7\r\nsession\r\n");
  CHECK(with.interpret({"GET", "reviews:a"}).operations.at(0).at == level::session);
  CHECK(with.interpret({"GET", "stock:a"}).operations.at(0).at == level::session);
  CHECK_FALSE(with.interpret({"GET", "views:a"}).operations.at(0).at);
  CHECK_FALSE(with.interpret({"SET", "reviews:a", "1"}).operations.at(0).at);
  CHECK(with.interpret({"TROUPE.LEVEL", "default"}).reply == "+OK\r\n");
  CHECK_FALSE(with.interpret({"GET", "reviews:a"}).operations.at(0).at);
  CHECK(with.interpret({"TROUPE.LEVEL", "linear"}).reply.starts_with("-ERR TROUPE.LEVEL is eventual, session"));
}

TEST_CASE("resp: TROUPE.TOKEN asks for the session's token, or hands one in") {
  const auto shape = weak_shape();
  resp::conversation with{shape, 7};
  CHECK(with.interpret({"TROUPE.TOKEN"}).as == resp::form::token);
  const auto plan = with.interpret({"troupe.token", "t1.abc"});
  CHECK(plan.join == "t1.abc");
  CHECK(plan.operations.empty());
}

TEST_CASE("resp: MGET reads one causal cut where its keys are of one type that has them") {
  const auto shape = weak_shape();
  resp::conversation with{shape, 7};
  auto plan = with.interpret({"MGET", "reviews:a", "reviews:b"});
  CHECK(plan.snapshot);
  CHECK(plan.as == resp::form::values);
  CHECK(plan.operations.at(1).view == read_view::snapshot);
  plan = with.interpret({"MGET", "reviews:a", "stock:b"});
  CHECK_FALSE(plan.snapshot);
  CHECK(plan.operations.size() == 2);
  CHECK_FALSE(with.interpret({"MGET", "views:a", "views:b"}).snapshot);
  resp::command many(258, "reviews:a");
  many[0] = "MGET";
  CHECK(with.interpret(many).reply.starts_with("-NOTDONE invalid_argument: "));
}

TEST_CASE("resp: items become sets, maps and arrays, in both versions of the protocol") {
  using resp::form;
  const auto v2 = resp::version::resp2;
  const auto v3 = resp::version::resp3;
  v1::WeakAnswer answer;
  for (const auto* name : {"f", "g"}) {
    auto& item = *answer.add_items();
    item.set_field(name);
    item.set_value(std::string{"="} + name);
  }
  CHECK(resp::render(form::members, v2, {answer}) == "*2\r\n$1\r\nf\r\n$1\r\ng\r\n");
  CHECK(resp::render(form::members, v3, {answer}) == "~2\r\n$1\r\nf\r\n$1\r\ng\r\n");
  CHECK(resp::render(form::map, v2, {answer}) == "*4\r\n$1\r\nf\r\n$2\r\n=f\r\n$1\r\ng\r\n$2\r\n=g\r\n");
  CHECK(resp::render(form::map, v3, {answer}).starts_with("%2\r\n"));
  CHECK(resp::render(form::field, v2, {answer}, "g") == "$2\r\n=g\r\n");
  CHECK(resp::render(form::field, v2, {answer}, "h") == "$-1\r\n");
  CHECK(resp::render(form::members, v2, {v1::WeakAnswer{}}) == "*0\r\n");
  CHECK(render(form::values, v2, {with_value("a"), v1::Result{}}) == "*2\r\n$1\r\na\r\n$-1\r\n");
  CHECK(render(form::count, v2, {v1::Result{}, v1::Result{}}) == ":2\r\n");
  answer.mutable_result()->set_error(static_cast<std::uint32_t>(errc::dependency_timeout));
  answer.set_detail("everybody waits for us-1");
  CHECK(resp::render(form::map, v2, {answer}).ends_with("; everybody waits for us-1\r\n"));
}
