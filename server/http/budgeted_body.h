#pragma once

#include <boost/beast/core/buffer_traits.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/optional.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "server/limits/byte_budget.h"

namespace tessera {

// A body as Beast's parser fills it: text that grows as its bytes arrive, and only as far as the budget of all bodies
// allows. Beast's own string body makes room for what Content-Length announces, so that a client could hold memory by
// headers alone.
struct BudgetedBody {
  struct value_type {
    std::string text;
    std::shared_ptr<ByteBudget::Share> share;  // set before the parser sees a body
  };

  // The budget is used up. An error that the parser itself never gives.
  static boost::system::error_code OverBudget() { return make_error_code(boost::system::errc::not_enough_memory); }

  class reader {
   public:
    template <bool is_request, class Fields>
    reader(boost::beast::http::header<is_request, Fields>&, value_type& body) : body_(body) {}

    void init(const boost::optional<std::uint64_t>&, boost::system::error_code& error) { error = {}; }

    template <class Buffers>
    std::size_t put(const Buffers& buffers, boost::system::error_code& error) {
      const std::size_t num_bytes = boost::beast::buffer_bytes(buffers);
      if (!body_.share->TryGrow(static_cast<int64_t>(num_bytes))) {
        error = OverBudget();
        return 0;
      }
      for (const auto buffer : boost::beast::buffers_range_ref(buffers)) {
        body_.text.append(static_cast<const char*>(buffer.data()), buffer.size());
      }
      error = {};
      return num_bytes;
    }

    void finish(boost::system::error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

}  // namespace tessera
