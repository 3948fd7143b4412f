import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.reflect.TypeToken;
import com.pusher.rest.Pusher;
import com.pusher.rest.data.Event;
import com.pusher.rest.data.PresenceUser;
import com.pusher.rest.data.Result;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Obeys one JSON command a line and answers one JSON object a line. */
public final class Backend {
    private static final Gson GSON = new Gson();

    private final Pusher pusher;

    private Backend(JsonObject settings) {
        pusher = new Pusher(
            settings.get("id").getAsString(),
            settings.get("key").getAsString(),
            settings.get("secret").getAsString(),
            settings.get("masterKey").getAsString());
        pusher.setHost(settings.get("host").getAsString() + ":" + settings.get("port").getAsInt());
        pusher.setEncrypted(false);
    }

    public static void main(String[] arguments) throws Exception {
        Backend backend = new Backend(JsonParser.parseString(arguments[0]).getAsJsonObject());
        BufferedReader input =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            JsonObject call = JsonParser.parseString(line).getAsJsonObject();
            JsonElement value =
                backend.perform(call.get("method").getAsString(), call.getAsJsonArray("arguments"));
            JsonObject answer = new JsonObject();
            answer.addProperty("answer", "call");
            answer.add("value", value);
            byte[] written = (GSON.toJson(answer) + "\n").getBytes(StandardCharsets.UTF_8);
            System.out.write(written, 0, written.length);
            System.out.flush();
        }
        System.exit(0);
    }

    private JsonObject perform(String method, JsonArray given) {
        String first = given.get(0).isJsonPrimitive() ? given.get(0).getAsString() : "";
        return switch (method) {
            case "trigger" -> told(trigger(given));
            case "triggerBatch" -> told(pusher.trigger(events(given.get(0).getAsJsonArray())));
            case "get" -> told(pusher.get(first, parameters(given.get(1).getAsJsonObject())));
            case "authenticate" -> result(JsonParser.parseString(authenticate(given)));
            case "webhook" -> result(GSON.toJsonTree(pusher.validateWebhookSignature(
                first, given.get(1).getAsString(), given.get(2).getAsString()).toString()));
            case "offers" -> result(GSON.toJsonTree(named(first).count() > 0));
            case "mostArguments" -> result(GSON.toJsonTree(
                named(first).mapToInt(Method::getParameterCount).max().orElseThrow()));
            default -> throw new IllegalArgumentException(method);
        };
    }

    private static Stream<Method> named(String name) {
        return Stream.of(Pusher.class.getMethods()).filter(has -> has.getName().equals(name));
    }

    private Result trigger(JsonArray given) {
        String event = given.get(1).getAsString();
        JsonElement data = given.get(2);
        String socketId = given.size() > 3 ? given.get(3).getAsString() : null;
        if (given.get(0).isJsonPrimitive()) {
            return pusher.trigger(given.get(0).getAsString(), event, data, socketId);
        }
        List<String> channels = GSON.fromJson(given.get(0), new TypeToken<List<String>>() { }.getType());
        return pusher.trigger(channels, event, data, socketId);
    }

    private static List<Event> events(JsonArray batch) {
        List<Event> events = new ArrayList<>();
        for (JsonElement element : batch) {
            JsonObject event = element.getAsJsonObject();
            String channel = event.get("channel").getAsString();
            events.add(new Event(channel, event.get("name").getAsString(), event.get("data")));
        }
        return events;
    }

    private static Map<String, String> parameters(JsonObject given) {
        return GSON.fromJson(given, new TypeToken<Map<String, String>>() { }.getType());
    }

    private String authenticate(JsonArray given) {
        String socketId = given.get(0).getAsString();
        String channel = given.get(1).getAsString();
        if (given.size() == 2) {
            return pusher.authenticate(socketId, channel);
        }
        JsonObject user = given.get(2).getAsJsonObject();
        PresenceUser member =
            new PresenceUser(user.get("user_id").getAsString(), user.get("user_info"));
        return pusher.authenticate(socketId, channel, member);
    }

    private static JsonObject told(Result result) {
        if (result.getStatus() == Result.Status.SUCCESS) {
            return result(JsonParser.parseString(result.getMessage()));
        }
        JsonObject failure = new JsonObject();
        failure.addProperty("message", result.getStatus().toString());
        failure.addProperty("status", result.getHttpStatus());
        failure.addProperty("body", result.getMessage());
        JsonObject value = new JsonObject();
        value.add("failure", failure);
        return value;
    }

    private static JsonObject result(JsonElement result) {
        JsonObject value = new JsonObject();
        value.add("result", result);
        return value;
    }
}
