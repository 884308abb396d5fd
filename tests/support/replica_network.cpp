// What simulated replicas want done: their disks, and what travels between them.
#include "protocol/mutation.hpp"
#include "tests/support/replica_node.hpp"

#include <algorithm>

namespace troupe::replicas {

void cluster_run::deliver(node& from, node& to, std::function<void(node&)> what) {
  ++outcome_.messages;
  const bool far = region_of(from.id) != region_of(to.id);
  const auto delay = far ? 10 * ms + up_to(5'000 * us) : 100 * us + up_to(400 * us);
  if (from.id == to.id) {
    at(now_ + up_to(30 * us), [&to, life = to.start, what = std::move(what)] {
      if (to.start == life && to.up) what(to);
    });
    return;
  }
  auto& l = between(from.id, to.id);
  if (!l.up) return;
  auto& last = l.last[to.id > from.id];
  last = std::max(last + nanoseconds{1}, now_ + delay);
  at(last, [&to, &l, generation = l.generation, life = to.start, what = std::move(what)] {
    if (to.up && to.start == life && l.generation == generation) what(to);
  });
}

/// Each says what it has of the other's updates, and gets what follows.
void cluster_run::connect(node& a, node& b) {
  auto& l = between(a.id, b.id);
  l.up = true;
  ++l.generation;
  l.placed[0] = l.placed[1] = false;
  for (auto* receiver : {&a, &b}) {
    auto& sender = receiver == &a ? b : a;
    version_vector positions[stream_lanes];
    for (const auto lane : {stream_lane::ordered, stream_lane::free})
      positions[static_cast<std::size_t>(lane)] = receiver->core->received_vector(lane);
    deliver(*receiver, sender, [this, receiver, p0 = positions[0], p1 = positions[1]](node& s) {
      const version_vector p[stream_lanes] = {p0, p1};
      stream_from(s, *receiver, p);
    });
    receiver->told = false;
  }
}

void cluster_run::stream_from(node& sender, node& receiver, const version_vector (&positions)[stream_lanes]) {
  auto& l = between(sender.id, receiver.id);
  l.placed[receiver.id > sender.id] = true;
  for (const auto lane : {stream_lane::ordered, stream_lane::free}) {
    const auto& have = positions[static_cast<std::size_t>(lane)];
    const auto lives = sender.core->received_vector(lane);
    for (const auto& e : lives.entries()) {
      if (e.from.node != sender.id) continue;
      l.gone.erase({lane, e.from});
      stream_replica::effects out;
      sender.core->peer_durable(receiver.id, e.from, {lane, have.at(e.from)}, out);
      perform(sender, std::move(out));
      stream_life(sender, receiver, lane, {e.from, have.at(e.from)});
    }
  }
}

/// What follows `have` of that life of the sender, from its log.
void cluster_run::stream_life(node& sender, node& receiver, stream_lane lane, const dot& have) {
  const auto upto = sender.core->received_vector(lane).at(have.from);
  stream_replica::incoming what{.from = have.from, .lane = lane, .updates = {}, .upto = upto, .clock = 0};
  for (auto after = have.seq; after < upto;) {
    const auto page = sender.disk.read({have.from, lane, after, 1});
    const auto first = page.updates.empty() ? upto + 1 : page.updates.front().seq();
    if (first > after + 1) {
      between(sender.id, receiver.id).gone[{lane, have.from}] = first - 1;
      ++outcome_.cuts;
      return offer(sender, receiver, lane, have.from);
    }
    for (const auto& u : page.updates) {
      after = u.seq();
      if (u.seq() > upto) break;
      const auto set = replicas_of(u.key());
      if (std::find(set.begin(), set.end(), receiver.id) != set.end())
        what.updates.push_back(std::make_shared<const v1::Update>(u));
    }
  }
  deliver(sender, receiver, [this, what](node& r) {
    stream_replica::effects taken;
    r.core->accept(what, now_, taken);
    perform(r, std::move(taken));
  });
}

/// Again and again, until the receiver has said to have it.
void cluster_run::offer(node& sender, node& receiver, stream_lane lane, const origin& of) {
  auto& l = between(sender.id, receiver.id);
  const auto gone = l.gone.find({lane, of});
  if (gone == l.gone.end()) return;
  v1::CopyOffered m;
  m.set_life(of.life);
  m.set_lane(static_cast<v1::Lane>(lane));
  m.set_upto(gone->second);
  deliver(sender, receiver, [this, from = sender.id, m](node& r) {
    stream_replica::effects out;
    r.core->copy_offered(from, m, now_, out);
    perform(r, std::move(out));
  });
  at(now_ + 100 * ms, [this, &sender, &receiver, lane, of, generation = l.generation] {
    const auto& now = between(sender.id, receiver.id);
    if (now.up && now.generation == generation) offer(sender, receiver, lane, of);
  });
}

void cluster_run::perform(node& n, stream_replica::effects effects) {
  for (auto& e : effects) {
    if (auto* p = std::get_if<stream_replica::persist>(&e)) {
      n.disk.write(p->number, std::move(p->writes));
      if (!n.syncing) {
        // What is handed over in one step is synced together.
        at(now_ + 5 * us, [this, &n, life = n.start] {
          if (n.start == life) sync(n);
        });
      }
    } else if (auto* l = std::get_if<stream_replica::load>(&e)) {
      at(now_ + up_to(200 * us), [this, &n, life = n.start, key = l->key] {
        if (n.start != life) return;
        stream_replica::effects out;
        n.core->loaded(key, n.disk.read(key), {now_, wall()}, out);
        perform(n, std::move(out));
      });
    } else if (auto* r = std::get_if<stream_replica::read_log>(&e)) {
      at(now_ + up_to(200 * us), [this, &n, life = n.start, from = r->from] {
        if (n.start != life) return;
        stream_replica::effects out;
        n.core->log_read(from, n.disk.read(from), now_, out);
        perform(n, std::move(out));
      });
    } else if (std::holds_alternative<stream_replica::ready>(e)) {
      n.ready = true;
      stream_replica::effects out;
      n.core->begin(n.life, out);
      n.core->counted(counted_, out);
      perform(n, std::move(out));
      for (auto& other : nodes_)
        if (other->id != n.id && other->ready && other->up) connect(n, *other);
    } else if (auto* d = std::get_if<stream_replica::durable_updates>(&e)) {
      const origin own{n.id, mutated(mutation::incarnation_reused) ? n.core->report().life : n.life};
      n.clocks[d->lane][own] = d->clock;
      n.stated[{d->lane, own}] = d->upto;
      for (auto& other : nodes_) {
        if (other->id == n.id) continue;
        const auto& to = between(n.id, other->id);
        if (!to.placed[other->id > n.id] || to.gone.contains({d->lane, own})) continue;
        stream_replica::incoming what{
            .from = own, .lane = d->lane, .updates = {}, .upto = d->upto, .clock = d->clock};
        for (const auto& u : d->updates) {
          const auto set = replicas_of(u->key());
          if (std::find(set.begin(), set.end(), other->id) != set.end()) what.updates.push_back(u);
        }
        deliver(n, *other, [this, what](node& receiver) {
          stream_replica::effects out;
          receiver.core->accept(what, now_, out);
          perform(receiver, std::move(out));
        });
      }
    } else if (auto* got = std::get_if<stream_replica::received>(&e)) {
      n.told = false;
      if (got->from.node == n.id) {
        if (got->from.life == n.life) conclude(n);
        continue;
      }
      deliver(n, get(got->from.node), [this, from = n.id, g = *got](node& origin_node) {
        stream_replica::effects out;
        origin_node.core->peer_durable(from, g.from, {g.lane, g.upto}, out);
        perform(origin_node, std::move(out));
        auto& lacking = between(from, g.from.node).gone;
        const auto gone = lacking.find({g.lane, g.from});
        if (gone == lacking.end() || gone->second > g.upto) return;
        lacking.erase(gone);
        stream_life(origin_node, get(from), g.lane, {g.from, g.upto});
      });
    } else if (auto* ended = std::get_if<stream_replica::own_ended>(&e)) {
      if (ended->lane != stream_lane::ordered) continue;
      const origin life{n.id, ended->life};
      ended_[life] = ended->last;
      for (auto& other : nodes_) {
        if (!other->up || other->id == n.id) continue;
        stream_replica::effects out;
        other->core->ended(life, ended->last, now_, out);
        perform(*other, std::move(out));
        conclude(*other);
      }
      for (auto& other : nodes_)
        if (other->up && other->core->received_vector(stream_lane::ordered).at(life) > ended->last)
          violate("D1: an update of " + to_string(life) + " is at " + to_string(other->id)
                  + " and not at its origin");
    } else if (auto* a = std::get_if<stream_replica::answer>(&e)) {
      if (a->what.id().session() == 1) {
        peeked_[a->what.id().number()] = a->what;
        continue;
      }
      deliver(n, get(a->to), [this, what = a->what](node&) { answered(what); });
    } else if (auto* w = std::get_if<stream_replica::await>(&e)) {
      n.waits[w->cookie] = {w->wanted, w->deadline};
      ++outcome_.waited;
      at(now_, [this, &n, life = n.start] {
        if (n.start == life) conclude(n);
      });
      at(w->deadline, [this, &n, life = n.start, cookie = w->cookie] {
        if (n.start != life || n.waits.erase(cookie) == 0) return;
        stream_replica::effects out;
        n.core->unmet(cookie, {.error = errc::dependency_timeout, .missing = {}, .node = {}}, out);
        perform(n, std::move(out));
      });
    } else if (std::holds_alternative<stream_replica::conflict_found>(e)) {
      ++outcome_.conflicts;
    } else if (auto* shortened = std::get_if<stream_replica::log_cut>(&e)) {
      if (options_.log_bytes == 0) violate("a log was cut, to " + std::to_string(shortened->upto));
    } else if (auto* ask = std::get_if<stream_replica::ask_copy>(&e)) {
      deliver(n, get(ask->to), [this, from = n.id, q = ask->what](node& asked) {
        stream_replica::effects out;
        asked.core->copy_asked(from, q, out);
        perform(asked, std::move(out));
      });
    } else if (auto* tell = std::get_if<stream_replica::tell_copy>(&e)) {
      deliver(n, get(tell->to), [this, from = n.id, m = tell->what](node& asker) {
        stream_replica::effects out;
        asker.core->copy_told(from, m, {now_, wall()}, out);
        outcome_.closed += asker.core->report().closed ? 1 : 0;
        perform(asker, std::move(out));
      });
    } else if (auto* look = std::get_if<stream_replica::ask_tree>(&e)) {
      deliver(n, get(look->to), [this, from = n.id, q = look->what](node& asked) {
        stream_replica::effects out;
        asked.core->tree_asked(from, q, out);
        perform(asked, std::move(out));
      });
    } else if (auto* hashes = std::get_if<stream_replica::tell_tree>(&e)) {
      deliver(n, get(hashes->to), [this, from = n.id, m = hashes->what](node& asker) {
        stream_replica::effects out;
        asker.core->tree_told(from, m, now_, out);
        perform(asker, std::move(out));
      });
    } else if (auto* scan = std::get_if<stream_replica::read_copy>(&e)) {
      at(now_ + (chance(10) ? up_to(60 * ms) : up_to(300 * us)), [this, &n, life = n.start, what = *scan] {
        if (n.start != life) return;
        stream_replica::effects out;
        n.core->copy_read(what.cookie, n.disk.scan(what, random(200) == 0), now_, out);
        perform(n, std::move(out));
      });
    } else if (auto* said = std::get_if<note>(&e)) {
      if (said->name == "stream.record_mended" && n.id == damaged_at_) damaged_.clear();
      const bool usual = said->name == "stream.life_begun" || said->name.starts_with("stream.cop")
                         || said->name == "stream.open_again" || said->name == "stream.record_mended"
                         || said->name == "stream.not_compared" || said->name == "stream.scrub_failed"
                         || ((options_.damages || lost_at_ == n.id) && said->name == "stream.hashes_do_not_fit");
      if (!usual || said->name.ends_with("refused")) violate("note: " + said->name + " " + said->fields);
    }
  }
  if (n.up) tick(n);
}

} // namespace troupe::replicas
