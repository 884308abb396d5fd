// The sending half of an update stream (PROTOCOLS §4).
#include "tests/support/stream_script.hpp"

using namespace troupe;
using namespace troupe::script;

TEST_CASE("outbound: nothing is sent before the peer has said where it is") {
  scripted_outbound s;
  CHECK(s.durable(1, 2) == "");
  CHECK(s.flush() == "");
  s.core.connected(s.now);
  CHECK(s.flush() == "");
  CHECK(s.core.wake_at() == never);
  CHECK(s.acknowledge(1) == "peer has ordered 5:1");
  CHECK(s.flush() == "ordered 5: 1..2 [2] clock 20");
}

TEST_CASE(
    "outbound: what gathers before a flush leaves in one message, and what is not for the peer is only stated") {
  scripted_outbound s;
  s.connect();
  s.durable(1, 2);
  s.durable(3, 4, 1);
  s.durable(5, 5);
  CHECK(s.flush() == "ordered 5: 0..5 [1 2 5] clock 50");
  CHECK(s.flush() == "");
  CHECK(s.acknowledge(5) == "peer has ordered 5:5");
  CHECK(s.core.queued_bytes(ordered) == 0);
  CHECK(s.core.acknowledged(ordered, 5) == 5);
  CHECK(s.core.behind(ordered) == 0);
}

TEST_CASE("outbound: an idle stream states its prefix a moment after it advanced, and its clock when that rises") {
  scripted_outbound s;
  s.connect();
  s.durable(1, 3, 1);
  CHECK(s.flush() == "");
  CHECK(s.core.wake_at() == start + 2ms);
  CHECK(s.tick(1ms) == "");
  CHECK(s.tick(1ms) == "ordered 5: 0..3 [] clock 30");
  s.acknowledge(3);
  CHECK(s.core.wake_at() == never);
  CHECK(s.does([&](auto& out) { s.core.durable({ordered, 5, {}, 3, 77}, s.now, out); }) == "");
  CHECK(s.tick(2ms) == "ordered 5: 3..3 [] clock 77");
  CHECK(s.core.wake_at() == never);
  CHECK(s.does([&](auto& out) { s.core.durable({ordered, 5, {}, 3, 77}, s.now, out); }) == ""); // no news
  CHECK(s.core.wake_at() == never);
}

TEST_CASE("outbound: a message holds so many updates and so many bytes, and its clock is that of its own prefix") {
  auto o = scripted_outbound::usual();
  o.message_bytes = 250;
  o.message_updates = 256;
  SUBCASE("bytes") {
    scripted_outbound s{o};
    s.connect();
    s.durable(1, 3);
    CHECK(s.flush() == "ordered 5: 0..2 [1 2] clock 20 | ordered 5: 2..3 [3] clock 30");
  }
  SUBCASE("updates") {
    o.message_updates = 1;
    scripted_outbound s{o};
    s.connect();
    s.durable(1, 2);
    CHECK(s.flush() == "ordered 5: 0..1 [1] clock 10 | ordered 5: 1..2 [2] clock 20");
  }
  SUBCASE("one always may") {
    o.message_bytes = o.window_bytes = o.queue_bytes = 10;
    scripted_outbound s{o};
    s.connect();
    s.durable(1, 1);
    CHECK(s.flush() == "ordered 5: 0..1 [1] clock 10");
  }
}

TEST_CASE("outbound: X1: no more than a window is under way, and neither lane waits for the other") {
  auto o = scripted_outbound::usual();
  o.window_bytes = 200;
  scripted_outbound s{o};
  s.connect();
  s.durable(1, 5);
  CHECK(s.flush() == "ordered 5: 0..2 [1 2] clock 20");
  s.durable(1, 1, 0, eventual);
  CHECK(s.flush() == "free 5: 0..1 [1] clock 10");
  CHECK(s.core.unacknowledged_bytes(ordered) == 200);
  s.acknowledge(1);
  CHECK(s.flush() == "ordered 5: 2..3 [3] clock 30");
  s.acknowledge(3);
  CHECK(s.flush() == "ordered 5: 3..5 [4 5] clock 50");
}

TEST_CASE("outbound: X1: what finds no room is read from the log when its turn comes") {
  auto o = scripted_outbound::usual();
  o.queue_bytes = o.window_bytes = 300;
  o.read_bytes = 200;
  scripted_outbound s{o};
  s.connect();
  s.durable(1, 6);
  CHECK(s.core.queued_bytes(ordered) == 300);
  CHECK(s.flush() == "ordered 5: 0..3 [1 2 3] clock 30");
  s.durable(7, 7); // behind what is not in memory
  CHECK(s.acknowledge(2) == "peer has ordered 5:2");
  CHECK(s.flush() == "read ordered 5 after 3");
  CHECK(s.flush() == ""); // one at a time
  CHECK(s.read(5) == "");
  CHECK(s.flush() == "ordered 5: 3..5 [4 5] clock 50");
  CHECK(s.acknowledge(5) == "peer has ordered 5:5");
  CHECK(s.flush() == "read ordered 5 after 5");
  CHECK(s.read(7) == "");
  CHECK(s.flush() == "ordered 5: 5..7 [6 7] clock 70");
  s.durable(8, 8);
  CHECK(s.flush() == "ordered 5: 7..8 [8] clock 80"); // memory goes on where the log ended
}

TEST_CASE("outbound: after a lost connection it goes on from what the peer states") {
  scripted_outbound s;
  s.connect();
  s.durable(1, 4);
  s.flush();
  s.core.disconnected();
  CHECK(s.core.unacknowledged_bytes(ordered) == 0);
  CHECK(s.flush() == "");
  s.core.connected(s.now);
  SUBCASE("from its position") {
    CHECK(s.acknowledge(3) == "peer has ordered 5:3");
    CHECK(s.flush() == "ordered 5: 3..4 [4] clock 40");
  }
  SUBCASE("which may be all: prefix and clock are stated nevertheless") {
    CHECK(s.acknowledge(4) == "peer has ordered 5:4");
    CHECK(s.flush() == "ordered 5: 4..4 [] clock 40");
  }
  SUBCASE("not mentioned: from where it was") {
    CHECK(s.does([&](auto& out) { s.core.receive(v1::UpdatesAcknowledged{}, s.now, out); }) == "");
    CHECK(s.flush() == "ordered 5: 0..4 [1 2 3 4] clock 40");
  }
}

TEST_CASE("outbound: a peer that has lost what it had is served from the log again") {
  scripted_outbound s;
  s.connect();
  s.durable(1, 4);
  s.flush();
  s.acknowledge(4);
  s.core.disconnected();
  s.core.connected(s.now);
  CHECK(s.acknowledge(2) == "stream.peer_went_back peer=n2 lane=ordered life=5 from=4 to=2");
  CHECK(s.flush() == "read ordered 5 after 2");
  CHECK(s.read(4) == "");
  CHECK(s.flush() == "ordered 5: 2..4 [3 4] clock 40");
  CHECK(s.acknowledge(4) == ""); // no news: it was on that disk before
}

TEST_CASE("outbound: `again` makes it go back to what is acknowledged") {
  scripted_outbound s;
  s.connect();
  s.durable(1, 3);
  s.flush();
  CHECK(s.acknowledge(1, true) == "peer has ordered 5:1");
  CHECK(s.flush() == "ordered 5: 1..3 [2 3] clock 30");
  CHECK(s.core.counted().repeated == 1);
}

TEST_CASE("outbound: what makes no progress is sent again, each time after twice as long") {
  scripted_outbound s;
  s.connect();
  s.durable(1, 2);
  s.flush();
  CHECK(s.core.wake_at() == start + 500ms);
  CHECK(s.tick(499ms) == "");
  CHECK(s.tick(1ms) == "ordered 5: 0..2 [1 2] clock 20");
  CHECK(s.core.wake_at() == start + 1'500ms);
  CHECK(s.tick(1s) == "ordered 5: 0..2 [1 2] clock 20");
  CHECK(s.core.wake_at() == start + 3'500ms);
  s.acknowledge(1); // progress: patience begins anew
  CHECK(s.core.wake_at() == start + 2s);
}

TEST_CASE("outbound: an earlier life is read from the log, and its end is stated") {
  scripted_outbound s;
  s.does([&](auto& out) { s.core.earlier_life(ordered, 3, 4, out); });
  s.core.connected(s.now);
  CHECK(s.acknowledge(2, false, 3) == "peer has ordered 3:2");
  CHECK(s.flush() == "read ordered 3 after 2");
  s.durable(1, 1); // the running life does not wait for it
  CHECK(s.flush() == "ordered 5: 0..1 [1] clock 10");
  CHECK(s.read(4) == "");
  CHECK(s.flush() == "ordered 3: 2..4 [3 4] clock 40 ended");
  CHECK(s.acknowledge(4, false, 3) == "peer has ordered 3:4");
  s.core.disconnected();
  s.core.connected(s.now);
  s.acknowledge(4, false, 3);
  CHECK(s.flush() == "ordered 3: 4..4 [] clock 0 ended | ordered 5: 0..1 [1] clock 10");
}

TEST_CASE("outbound: a log that does not reach back far enough is a cut, until the peer has been caught up") {
  scripted_outbound s;
  s.does([&](auto& out) { s.core.earlier_life(ordered, 3, 9, out); });
  s.connect();
  CHECK(s.flush() == "read ordered 3 after 0");
  CHECK(s.does([&](auto& out) { s.core.log_gone(s.asked, 6, s.now, out); }) == "cut after 0");
  CHECK(s.core.is_cut(ordered));
  CHECK(s.flush() == "");
  CHECK(s.core.wake_at() == s.now + 1000ms);
  CHECK(s.tick(0ms) == "");
  CHECK(s.tick(1000ms) == "cut after 0 again");
  CHECK(s.tick(0ms) == "");
  CHECK(s.acknowledge(4, false, 3) == "peer has ordered 3:4"); // not far enough
  CHECK(s.flush() == "");
  CHECK(s.acknowledge(7, false, 3) == "peer has ordered 3:7");
  CHECK_FALSE(s.core.is_cut(ordered));
  CHECK(s.flush() == "read ordered 3 after 7");
}

TEST_CASE("outbound: what a peer says of a life before the log of that life was read counts from then on") {
  scripted_outbound s;
  s.core.connected(s.now);
  CHECK(s.acknowledge(4, false, 3) == "");
  CHECK(s.does([&](auto& out) { s.core.earlier_life(ordered, 3, 9, out); }) == "peer has ordered 3:4");
  CHECK(s.flush() == "read ordered 3 after 4");
  s.core.disconnected();
  s.core.connected(s.now);
  CHECK(s.acknowledge(7, false, 2) == "");
  s.core.disconnected();
  CHECK(s.does([&](auto& out) { s.core.earlier_life(ordered, 2, 9, out); }) == ""); // of another connection
}

TEST_CASE("outbound: an empty log that should not be is a cut, up to all that is durable") {
  scripted_outbound s;
  s.connect();
  s.durable(1, 4);
  s.acknowledge(2);
  s.core.disconnected();
  s.core.connected(s.now);
  s.acknowledge(0); // it has lost its disk
  CHECK(s.flush() == "read ordered 5 after 0");
  CHECK(s.does([&](auto& out) { s.core.log_gone(s.asked, 0, s.now, out); }) == "cut after 0");
  CHECK(s.acknowledge(3) == "peer has ordered 5:3"); // copied: more than was ever sent, but not all that is gone
  CHECK(s.core.is_cut(ordered));
  CHECK(s.acknowledge(4) == "peer has ordered 5:4");
  CHECK_FALSE(s.core.is_cut(ordered));
}

TEST_CASE("outbound: a log that cannot be read now is asked again after a while") {
  scripted_outbound s;
  s.does([&](auto& out) { s.core.earlier_life(ordered, 3, 9, out); });
  s.connect();
  s.flush();
  CHECK(s.does([&](auto& out) { s.core.log_busy(s.asked, s.now, out); }) == "");
  CHECK(s.flush() == "");
  CHECK(s.core.wake_at() == start + 500ms);
  CHECK(s.tick(500ms) == "read ordered 3 after 0");
  CHECK(s.does([&](auto& out) {
    s.core.log_read({ordered, 3, 0, {}, 0}, s.now, out);
  }) == "stream.log_read_ignored peer=n2 lane=ordered life=3 after=0 upto=0 why=not_of_the_log");
  CHECK(s.tick(500ms) == "read ordered 3 after 0");
}

TEST_CASE("outbound: an answer to a read that nobody waits for changes nothing") {
  scripted_outbound s;
  s.connect();
  CHECK(s.does([&](auto& out) {
    s.core.log_read({ordered, 5, 0, {}, 3}, s.now, out);
  }) == "stream.log_read_ignored peer=n2 lane=ordered life=5 after=0 why=not_asked");
  s.does([&](auto& out) { s.core.earlier_life(ordered, 3, 9, out); });
  s.flush();
  s.acknowledge(6, false, 3); // it is elsewhere by now
  CHECK(s.read(9) == "");
  CHECK(s.flush() == "read ordered 3 after 6");
}

TEST_CASE("outbound: acknowledgements that are stale, or cannot be true, are refused with a reason") {
  scripted_outbound s;
  s.connect();
  s.durable(1, 4);
  s.flush();
  s.durable(5, 5); // not sent
  s.acknowledge(3);
  const auto refused = [](const std::string& why, const std::string& what) {
    return "stream.acknowledgement_refused peer=n2 why=" + why + " " + what;
  };
  CHECK(s.acknowledge(2) == refused("stale", "lane=0 life=5 durable=2"));
  CHECK(s.acknowledge(2, true) == refused("stale", "lane=0 life=5 durable=2"));
  CHECK(s.acknowledge(6) == refused("beyond_what_is_there", "lane=0 life=5 durable=6"));
  CHECK(s.acknowledge(1, false, 4) == refused("unknown_life", "lane=0 life=4 durable=1"));
  CHECK(s.acknowledge(1, false, 5, 9) == refused("unknown_lane", "lane=9 life=5 durable=1"));
  CHECK(s.acknowledge(3) == ""); // once more
  s.core.disconnected();
  CHECK(s.acknowledge(4) == refused("disconnected", "lane=0 life=0 durable=0"));
  CHECK(s.core.counted().refused == 6);
  CHECK(s.core.acknowledged(ordered, 5) == 3);
}

TEST_CASE("outbound: what is durable of an older life than the running one is ignored, a newer one ends it") {
  scripted_outbound s;
  s.connect();
  s.durable(1, 1);
  s.flush();
  CHECK(s.does([&](auto& out) {
    s.core.durable({ordered, 4, updates(1, 1), 1, 10}, s.now, out);
  }) == "stream.old_life peer=n2 lane=ordered life=4");
  s.does([&](auto& out) { s.core.durable({ordered, 6, updates(1, 1), 1, 10}, s.now, out); });
  CHECK(s.flush() == "ordered 5: 1..1 [] clock 10 ended | ordered 6: 0..1 [1] clock 10");
}
