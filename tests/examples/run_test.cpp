#include "examples/ecommerce/ledger.hpp"
#include "examples/ecommerce/local_cluster.hpp"
#include "examples/ecommerce/reconcile.hpp"
#include "examples/ecommerce/report.hpp"

#include <troupe/processes.hpp>
#include <troupe/runtime.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace fs = std::filesystem;
using namespace shop;

namespace {

constexpr std::chrono::seconds run_patience{200};

fs::path binary(const char* name) {
  const auto* folder = std::getenv("TROUPE_BINARY_DIR");
  return fs::path{folder == nullptr ? "." : folder} / name;
}

std::string content_of(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{}};
}

struct scratch_folder {
  scratch_folder() {
    auto name = (fs::temp_directory_path() / "shop-run-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~scratch_folder() { fs::remove_all(path); }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  fs::path path;
};

/// What a run printed: the progress, and then one JSON object.
nlohmann::json result_in(const std::string& output) {
  const auto begin = output.find("\n{");
  REQUIRE_MESSAGE(begin != std::string::npos, output);
  const auto end = output.rfind("\n}");
  REQUIRE_MESSAGE(end != std::string::npos, output);
  return nlohmann::json::parse(output.substr(begin, end + 2 - begin));
}

int reconcile_in_a_process(const fs::path& folder, const fs::path& client, const std::vector<ledger_entry>& entries) {
  const auto file = folder / "doctored.jsonl";
  fs::remove(file);
  {
    auto books = ledger::create(file);
    REQUIRE(books);
    REQUIRE((*books)->enter(entries));
  }
  auto code = troupe::run_to_end(
      {binary("examples/ecommerce").string(), "reconcile", "--ledger", file.string(), "--config", client.string()},
      folder / "reconcile.out", run_patience);
  REQUIRE_MESSAGE(code, (code ? "" : code.error()));
  return *code;
}

} // namespace

TEST_CASE("ecommerce: a small run keeps every promise while the home of the hottest item is killed") {
  const scratch_folder folder;
  const auto output = folder.path / "output";
  const auto work = folder.path / "work";
  auto code = troupe::run_to_end({binary("examples/ecommerce").string(), "--sessions", "300", "--speed", "300",
                                  "--shoppers", "64", "--json", "--work-dir", work.string()},
                                 output, run_patience);
  REQUIRE_MESSAGE(code, (code ? "" : code.error()));
  const auto text = content_of(output);
  INFO(text);
  CHECK(*code == static_cast<int>(verdict::kept));
  CHECK_FALSE(fs::exists(work)); // nothing is left behind when all is well
  const auto result = result_in(text);
  CHECK(result["sessions"] == 300);
  CHECK(result["operations"] > 300);
  CHECK(result["orders"] > 0);
  CHECK(result["reconciled"]["orders"] == result["orders"]);
  CHECK(result["reconciled"]["orders_missing"] == 0);
  CHECK(result["reconciled"]["items_oversold"] == 0);
  CHECK(result["reconciled"]["items_off"] == 0);
  CHECK(result["reconciled"]["unread"] == 0);
  CHECK(result["checked"]["linearizable"] == "yes");
  REQUIRE(result["levels"].size() == 4);
  std::uint64_t strong = 0;
  for (const auto& level : result["levels"]) {
    INFO(level.dump());
    CHECK(level["operations"] > 0);
    CHECK(level["checks"] > 0);
    CHECK(level["violations"] == 0);
    if (level["level"] == "strong")
      strong = level["operations"].get<std::uint64_t>() - level["unknown"].get<std::uint64_t>();
  }
  CHECK(result["checked"]["operations"] >= strong);
  CHECK(result["sessions_checked"]["session"] == "yes");
  CHECK(result["sessions_checked"]["operations"] > 0);
  CHECK_FALSE(result["killed"].get<std::string>().empty());
  CHECK(result["recovery_ms"].is_number());
  CHECK(result["ready_again_ms"].is_number());
}

TEST_CASE("ecommerce: the process that reconciles finds an order that was never written, and one unit too many") {
  const scratch_folder folder;
  auto cluster = local_cluster::start(binary("troupe"), folder.path);
  REQUIRE_MESSAGE(cluster, (cluster ? "" : cluster.error()));
  const auto client_file = (*cluster)->clients().front();
  {
    auto client = troupe::runtime::start(troupe::config::from_file(client_file));
    REQUIRE(client);
    REQUIRE(client->wait_ready(std::chrono::seconds{20}));
    auto session = client->open_session();
    REQUIRE(session.put("inventory", "lamp", "10", {.deadline = std::chrono::seconds{10}}));
    REQUIRE(session.add("inventory", "lamp", -3, {.floor = 0, .deadline = std::chrono::seconds{10}}));
    REQUIRE(session.put("orders", "o1", "lampx3", {.deadline = std::chrono::seconds{10}}));
  }
  const std::vector<ledger_entry> true_books{{event::stocked, {}, "lamp", 10, {}},
                                             {event::took, "o1", "lamp", 3, {}},
                                             {event::ordered, "o1", {}, 0, "lampx3"}};
  CHECK(reconcile_in_a_process(folder.path, client_file, true_books) == static_cast<int>(verdict::kept));

  auto with = [&](ledger_entry entry) {
    auto entries = true_books;
    entries.push_back(std::move(entry));
    return entries;
  };
  CHECK(reconcile_in_a_process(folder.path, client_file, with({event::ordered, "o2", {}, 0, "lampx1"}))
        == static_cast<int>(verdict::violated));
  CHECK(reconcile_in_a_process(folder.path, client_file, with({event::took, "o2", "lamp", 1, {}}))
        == static_cast<int>(verdict::violated));
  CHECK(reconcile_in_a_process(folder.path, client_file, with({event::took, "o2", "lamp", 8, {}}))
        == static_cast<int>(verdict::violated));
}

TEST_CASE("ecommerce: wrong usage is refused with a sentence, before anything is started") {
  const scratch_folder folder;
  const auto output = folder.path / "output";
  auto refused = [&](std::vector<std::string> words) {
    words.insert(words.begin(), binary("examples/ecommerce").string());
    auto code = troupe::run_to_end(words, output, run_patience);
    REQUIRE(code);
    return *code;
  };
  CHECK(refused({"--sessions", "none"}) == static_cast<int>(verdict::bad_usage));
  CHECK(refused({"--views", "/nowhere.csv"}) == static_cast<int>(verdict::bad_usage));
  CHECK(refused({"--work-dir", folder.path.string()}) == static_cast<int>(verdict::bad_usage)); // holds `output`
  CHECK(refused({"reconcile", "--ledger", "/nowhere", "--config", "/nowhere"})
        == static_cast<int>(verdict::bad_usage));
  CHECK(content_of(output).find("exists and is not an empty folder") != std::string::npos);
}
