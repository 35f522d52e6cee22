#include "scheduler/queue/fair_share.h"

#include <algorithm>

#include "base/check.h"

namespace tessera {

void FairShare::Add(uint64_t client, const Precedence& request, int64_t num_prompt_tokens) {
  TESSERA_CHECK(Present(client).waiting.emplace(request, num_prompt_tokens).second);
  ++num_waiting_;
}

void FairShare::Remove(uint64_t client, const Precedence& request) {
  const auto entry = accounts_.find(client);
  TESSERA_CHECK(entry != accounts_.end());
  Account& account = entry->second;
  TESSERA_CHECK(account.waiting.erase(request) == 1);
  --num_waiting_;
  if (!account.waiting.empty() || account.given > level_) return;
  order_.erase(account.place);
  accounts_.erase(entry);
}

const Precedence& FairShare::Front() {
  TESSERA_CHECK(!empty());
  while (true) {
    const Place first = *order_.begin();
    Account& account = accounts_.find(first.client)->second;
    if (account.given == first.given) {
      level_ = std::max(level_, first.given);  // every other account was given at least as much
      if (!account.waiting.empty()) return account.waiting.begin()->first;
      accounts_.erase(first.client);  // gone, and nothing left to remember
      order_.erase(order_.begin());
    } else {
      order_.erase(order_.begin());
      EnterOrder(first.client, account);
    }
  }
}

void FairShare::StartFront() {
  Front();  // brings the client that goes next to the front of the order
  Account& account = accounts_.find(order_.begin()->client)->second;
  const int64_t num_prompt_tokens = account.waiting.begin()->second;
  account.waiting.erase(account.waiting.begin());
  --num_waiting_;
  Give(account, num_prompt_tokens);
}

void FairShare::Charge(uint64_t client, int64_t num_tokens) { Give(Present(client), num_tokens); }

FairShare::Account& FairShare::Present(uint64_t client) {
  const auto [entry, is_new] = accounts_.try_emplace(client);
  Account& account = entry->second;
  if (account.waiting.empty()) account.given = std::max(account.given, level_);
  if (is_new) EnterOrder(client, account);
  return account;
}

void FairShare::Give(Account& account, int64_t num_tokens) {
  account.given += num_tokens;
  num_undivided_ += num_tokens;
  const auto num_clients = static_cast<int64_t>(accounts_.size());
  level_ += num_undivided_ / num_clients;
  num_undivided_ %= num_clients;
}

void FairShare::EnterOrder(uint64_t client, Account& account) {
  account.place = {account.given, next_number_++, client};
  order_.insert(account.place);
}

}  // namespace tessera
