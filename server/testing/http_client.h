#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

struct HttpReply {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  bool is_complete = true;  // false: the connection ended in the middle of it
};

// A blocking HTTP/1.1 client on one connection, with nothing hidden: tests send bytes and read what comes.
class HttpClient {
 public:
  explicit HttpClient(const std::string& address);  // "127.0.0.1:port"

  void Send(std::string_view bytes);
  void Post(const std::string& path, const std::string& body, const std::string& extra_headers = "");
  void Get(const std::string& path, const std::string& extra_headers = "");

  // One response; interim ones (100) are skipped and counted.
  HttpReply ReadReply(bool is_head = false);
  HttpReply ReadHead();  // status and headers only
  // The next piece of a chunked body; empty at its end.
  std::string ReadChunk();
  // Up to and with the end of an event ("\n\n") of a chunked stream; empty at its end.
  std::string ReadEvent();

  bool ReadsEnd();      // blocks until the server closes; false if it sends something first
  void CloseSending();  // half-close
  void Close();         // FIN
  void Reset();         // RST
  int num_interim() const { return num_interim_; }

 private:
  bool Fill();  // reads more; false at the end
  bool ReadLine(std::string& line);

  boost::asio::io_context io_;
  boost::asio::ip::tcp::socket socket_;
  std::string input_;
  std::string events_;
  bool chunks_ended_ = false;
  int num_interim_ = 0;
};

// The `data:` of each event of a stream.
std::vector<std::string> EventData(const std::string& stream);

}  // namespace tessera
