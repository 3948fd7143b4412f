// Obeys one JSON command a line and answers one JSON object a line.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"reflect"
	"strconv"

	"github.com/pusher/pusher-http-go/v5"
)

type settings struct {
	ID        string `json:"id"`
	Key       string `json:"key"`
	Secret    string `json:"secret"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	MasterKey string `json:"masterKey"`
}

type command struct {
	Method    string            `json:"method"`
	Arguments []json.RawMessage `json:"arguments"`
}

type failure struct {
	Message string `json:"message"`
}

func main() {
	var given settings
	if err := json.Unmarshal([]byte(os.Args[1]), &given); err != nil {
		log.Fatal(err)
	}
	backend := reflect.ValueOf(client(given))
	input, output := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var call command
		if err := input.Decode(&call); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		answer := map[string]any{"answer": "call", "value": perform(backend, call)}
		if err := output.Encode(answer); err != nil {
			log.Fatal(err)
		}
	}
}

func client(given settings) *pusher.Client {
	return &pusher.Client{
		AppID:                     given.ID,
		Key:                       given.Key,
		Secret:                    given.Secret,
		Host:                      net.JoinHostPort(given.Host, strconv.Itoa(given.Port)),
		EncryptionMasterKeyBase64: given.MasterKey,
		// More than the server takes, so that it is the server that refuses.
		OverrideMaxMessagePayloadKB: 20,
	}
}

func perform(backend reflect.Value, call command) map[string]any {
	if call.Method == "offers" {
		var name string
		if err := json.Unmarshal(call.Arguments[0], &name); err != nil {
			log.Fatal(err)
		}
		return map[string]any{"result": backend.MethodByName(name).IsValid()}
	}
	method := backend.MethodByName(call.Method)
	if !method.IsValid() {
		return failed(fmt.Errorf("no method %s", call.Method))
	}
	arguments := make([]reflect.Value, len(call.Arguments))
	for index, argument := range call.Arguments {
		value, err := decode(argument, method.Type().In(index))
		if err != nil {
			return failed(err)
		}
		arguments[index] = value
	}
	results := method.Call(arguments)
	last := len(results) - 1
	if err, is := results[last].Interface().(error); is {
		return failed(err)
	}
	if last == 0 {
		return map[string]any{"result": nil}
	}
	// What an auth endpoint is to answer is JSON already.
	if text, is := results[0].Interface().([]byte); is {
		return map[string]any{"result": json.RawMessage(text)}
	}
	return map[string]any{"result": results[0].Interface()}
}

// decode makes an argument of the wanted type; the body of a request is given as text.
func decode(argument json.RawMessage, wanted reflect.Type) (reflect.Value, error) {
	if wanted == reflect.TypeOf([]byte(nil)) {
		var body string
		err := json.Unmarshal(argument, &body)
		return reflect.ValueOf([]byte(body)), err
	}
	value := reflect.New(wanted)
	err := json.Unmarshal(argument, value.Interface())
	return value.Elem(), err
}

func failed(err error) map[string]any {
	return map[string]any{"failure": failure{err.Error()}}
}
