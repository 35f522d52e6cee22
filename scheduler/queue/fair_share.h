#pragma once

#include <compare>
#include <cstdint>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "scheduler/queue/precedence.h"

namespace tessera {

// The waiting requests of one priority, shared among clients by the tokens they were really given: prompt tokens when a
// request starts, generated tokens as they come. The next to start is the earliest request of the client that was given
// least: deficit round robin with a quantum of one token. (What max_tokens grants is no measure: most clients leave it
// out, and then it is the whole context.)
//
// A client that comes, newly or again, joins at the level that an even division of all tokens among the clients present
// has reached, or where it was if that is higher: time without wishes earns nothing, what was taken is not forgotten by
// leaving, and an endless row of new clients cannot hold back an old one. This is the virtual time of weighted fair
// queueing (Demers, Keshav, Shenker 1989); the charge by served tokens is that of VTC (Sheng et al., OSDI 2024).
//
// O(log n) a call, amortized; Charge() O(1). Deterministic; not thread-safe.
class FairShare {
 public:
  // Requires: not in here.
  void Add(uint64_t client, const Precedence& request, int64_t num_prompt_tokens);

  // Requires: in here. It has ended without being started: nothing is charged.
  void Remove(uint64_t client, const Precedence& request);

  // The request that starts next. Requires: not empty.
  const Precedence& Front();

  // Takes it out and charges its prompt to its client.
  void StartFront();

  // The client was given tokens by a request that runs.
  void Charge(uint64_t client, int64_t num_tokens);

  bool empty() const { return num_waiting_ == 0; }
  size_t num_accounts() const { return accounts_.size(); }  // clients that wait, or were given more than the level

 private:
  struct Place {
    int64_t given = 0;
    int64_t number = 0;  // of those that were given the same, the one that came to this place first goes first
    uint64_t client = 0;

    friend std::strong_ordering operator<=>(const Place& a, const Place& b) = default;
  };
  struct Account {
    int64_t given = 0;                             // tokens, on the scale of level_; only grows
    Place place;                                   // its entry in order_
    absl::btree_map<Precedence, int64_t> waiting;  // value: prompt tokens
  };

  Account& Present(uint64_t client);
  void Give(Account& account, int64_t num_tokens);
  void EnterOrder(uint64_t client, Account& account);

  absl::flat_hash_map<uint64_t, Account> accounts_;
  // One entry an account. Its `given` may be older, that is lower, than the account's: it is corrected when it comes
  // first, so that a charge costs no reordering.
  absl::btree_set<Place> order_;
  int64_t level_ = 0;
  int64_t num_undivided_ = 0;  // tokens given that have not yet raised the level; fewer than there are accounts
  int64_t next_number_ = 0;
  size_t num_waiting_ = 0;
};

}  // namespace tessera
